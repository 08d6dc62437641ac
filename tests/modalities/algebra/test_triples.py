"""Triples of a group and their splits."""

import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.modalities.algebra.group import open_group
from r2mae.modalities.algebra.schema import AlgebraData
from r2mae.modalities.algebra.triples import all_triples, open_triples


def load(section, split):
    source = open_triples(section, split)
    return source.load(torch.arange(len(source)), None, 0)["triples"].numpy()


def test_both_splits_together_are_every_triple_once():
    section = AlgebraData(group="D5", train_share=0.3)
    train, test = load(section, "train"), load(section, "test")
    assert len(train) == 30
    rows = np.concatenate([train, test])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, all_triples(open_group("D5"))))
    table = open_group("D5").table
    assert (table[rows[:, 0], rows[:, 1]] == rows[:, 2]).all()


def test_labels_are_products_with_the_names_of_elements():
    source = open_triples(AlgebraData(group="Q8"), "test")
    triples = load(AlgebraData(group="Q8"), "test")
    assert (source.labels == triples[:, 2]).all()
    assert source.class_names[7] == "-k"


def test_a_share_that_leaves_no_triple_is_refused():
    with pytest.raises(InputError, match="both sides of 4, got 0.05"):
        open_triples(AlgebraData(group="Z2", train_share=0.05), "train")
