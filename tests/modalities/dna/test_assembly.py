"""Runs whose convolutions a recipe may start from."""

import pytest

from r2mae.errors import InputError
from r2mae.modalities.dna.assembly import _check_conv_run
from r2mae.recipe.load import load_recipe
from r2mae.schema.recipe import recipe_document
from tests.conftest import ROOT

RECIPE = str(ROOT / "recipes" / "dna" / "motifs_demo.yaml")


@pytest.mark.parametrize("theirs", [True, False, None])
@pytest.mark.parametrize("ours", [True, False])
def test_both_share_weights_between_strands_or_neither_does(ours, theirs):
    """None: a run from before there were shared weights."""
    recipe = load_recipe(RECIPE, [f"model.rc_equivariant={str(ours).lower()}"])
    document = recipe_document(recipe)
    document["model"]["rc_equivariant"] = theirs
    if theirs is None:
        del document["model"]["rc_equivariant"]
    manifest = {"recipe": document}
    if ours == bool(theirs):
        _check_conv_run(manifest, "runs/x", recipe)
        return
    message = f"shape of 'runs/x', .*, got rc_equivariant: {str(ours).lower()}"
    with pytest.raises(InputError, match=message):
        _check_conv_run(manifest, "runs/x", recipe)
