"""Models of cell recipes."""

import numpy as np
import torch

from r2mae.data.source import hold_out, rows_in_root
from r2mae.modalities.cell.assembly import build_masked, with_checkpoint_facts
from r2mae.modalities.cell.data.cells import CellView
from r2mae.modalities.cell.data.splits import open_cells
from r2mae.modalities.cell.data.training_cells import normalized_cells
from r2mae.recipe.load import load_recipe
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


def test_a_run_from_before_completion_is_read_without_it():
    recipe = load_recipe("pbmc3k_mlp", [])
    manifest = {"genes": ["A", "B", "C"], "components": 20}
    assert with_checkpoint_facts(recipe, manifest).model.components == 20
    del manifest["components"]
    assert with_checkpoint_facts(recipe, manifest).model.components == 0


def test_completion_is_fitted_on_training_cells_alone():
    recipe = load_recipe("pbmc68k_demo", ["model.components=5"])
    section = recipe.data
    train, held_out = hold_out(
        open_cells(section, "train", CellView()), section.held_out
    )
    cells = normalized_cells(section)
    assert len(cells) == len(train)
    expected = train.source.source.dense(rows_in_root(train))
    np.testing.assert_array_equal(cells, expected)
    completion = build_masked(recipe).completion
    np.testing.assert_allclose(completion.mean, expected.mean(axis=0), atol=1e-5)
    assert len(held_out) > 0
    with torch.device("meta"):  # an outline reads no cells
        assert build_masked(recipe).completion.mean.is_meta
