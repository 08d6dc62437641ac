"""Models of cell recipes."""

from tests.blocked import run_blocked

# Without its data, a recipe that names its genes can still be built.
BUILD = """
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe

data = "data={root: absent.h5ad, card: cell_files, genes: {names: [A, B, C]}}"
recipe = load_recipe("NAME", [data])
model = find_wing("cell").build_masked(recipe)
assert model.num_genes == 3
"""


def test_an_mlp_does_not_import_timm(scratch):
    """It takes seconds to import, and only transformers need it."""
    run_blocked({"timm"}, BUILD.replace("NAME", "pbmc3k_mlp"), cwd=scratch)
    code = BUILD.replace("NAME", "pbmc3k_transformer")
    failed = run_blocked({"timm"}, code, cwd=scratch, check=1)
    assert "No module named 'timm'" in failed.stderr
