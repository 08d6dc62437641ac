"""Random genomes, alignments and sequences that stand in for missing ones."""

import numpy as np
import torch

from r2mae.evaluation.regression import require_targets
from r2mae.modalities.dna.recipe_data import species_of
from tests.conftest import open_stand_in


def test_an_alignment_has_the_species_and_tracks_of_the_recipe(scratch):
    recipe, train, held_out = open_stand_in("human_msa", scratch)
    assert len(species_of(recipe)) == 90
    assert species_of(recipe)[0] == "hg38"
    assert len(train) >= 2 * 256
    assert len(held_out) >= 2
    batch = train.load(torch.arange(256), torch.arange(256), 0)
    assert batch["bases"].shape == batch["phylop"].shape == (256, 128)
    assert batch["others"].shape == (256, 128, 89)
    assert batch["phastcons"].isfinite().all()


def test_a_genome_has_windows_and_soft_masked_bases(scratch):
    _, train, held_out = open_stand_in("human_transformer", scratch)
    assert len(train) >= 2 * 32
    assert len(held_out) >= 2
    batch = train.load(torch.arange(32), torch.arange(32), 0)
    assert batch["bases"].shape == (32, 2048)
    assert 0.4 < batch["is_repeat"].float().mean() < 0.6


def test_sequences_are_labelled_to_fine_tune(scratch):
    _, train, _ = open_stand_in("gue_finetune", scratch)
    batch = train.load(torch.arange(64), None, 0)
    assert batch["bases"].shape == (64, 512)
    assert set(batch["lengths"].tolist()) == {511, 512}
    assert len(np.unique(train.labels)) == 2


def test_sequences_have_numbers_for_a_regression(scratch):
    _, train, _ = open_stand_in("gue_finetune", scratch, "tune.target=regression")
    targets = require_targets(train)
    assert len(np.unique(targets)) == len(targets) > len(train)
