"""Random cells that stand in for missing ones."""

import numpy as np
import torch

from r2mae.modalities.cell.assembly import checkpoint_facts
from r2mae.modalities.cell.wing import WING
from tests.conftest import open_stand_in


def test_an_atlas_has_the_genes_of_the_recipe(scratch):
    recipe, train, held_out = open_stand_in("atlas_transformer", scratch)
    assert len(checkpoint_facts(recipe)["genes"]) == 8_000
    assert len(train) >= 2 * 64
    assert len(held_out) >= 2
    assert len(WING.open_split(recipe, "test")) > 0
    batch = train.load(torch.arange(64), torch.arange(64), 0)
    assert batch["values"].shape == batch["columns"].shape == batch["roles"].shape
    assert batch["values"].shape[1] > 1_000


def test_cells_are_labelled_to_fine_tune(scratch):
    _, train, _ = open_stand_in("pbmc3k_finetune", scratch)
    assert train.load(torch.arange(4), None, 0)["values"].shape == (4, 2_000)
    assert set(np.unique(train.labels)) == {0, 1}


def test_scaled_values_are_not_counts(scratch):
    _, train, _ = open_stand_in("pbmc68k_demo", scratch)
    assert (train.load(torch.arange(4), None, 0)["values"] < 0).any()


def test_genes_are_those_that_the_recipe_names(scratch):
    genes = "data.genes={names: [CD4, CD8A, NKG7]}"
    recipe, train, _ = open_stand_in("pbmc3k_mlp", scratch, genes)
    assert checkpoint_facts(recipe)["genes"] == ["CD4", "CD8A", "NKG7"]
    assert len(train) >= 2 * 128
