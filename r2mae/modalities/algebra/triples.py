"""Triples (g1, g2, g1 * g2) of a group, and their splits."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from r2mae.data.arrays import ArraySource
from r2mae.data.stream import permute
from r2mae.errors import InputError
from r2mae.modalities.algebra.group import Group, Integers, open_group
from r2mae.modalities.algebra.schema import AlgebraData

if TYPE_CHECKING:
    from r2mae.data.source import SampleSource

# Fixed: which triples are tested does not depend on a run's seed.
_TEST_KEY = 0x7E57


def all_triples(group: Group) -> Integers:
    """(N^2, 3) g1, g2 and their product; g2 runs fastest."""
    first, second = np.divmod(np.arange(len(group) ** 2), len(group))
    return np.stack([first, second, group.table[first, second]], axis=1)


def split_rows(section: AlgebraData, group: Group) -> tuple[Integers, Integers]:
    """Rows of `all_triples` in the training and in the test split, ascending.

    Raises: InputError where one of the splits is empty.
    """
    total = len(group) ** 2
    size = round(section.train_share * total)
    if not 0 < size < total:
        raise InputError(
            f"data.train_share must leave triples on both sides of {total}, "
            f"got {section.train_share}. Take another share."
        )
    order = permute(torch.arange(total), total, _TEST_KEY).numpy()
    return np.sort(order[:size]), np.sort(order[size:])


def open_triples(section: AlgebraData, split: str) -> "SampleSource":
    """Triples of a split, "train" or "test"; labels are the products."""
    group = open_group(section.group)
    train, test = split_rows(section, group)
    triples = all_triples(group)[test if split == "test" else train]
    return ArraySource(
        {"triples": triples},
        labels=triples[:, 2].copy(),
        class_names=group.elements,
        sample_name=f"{split} triple",
    )
