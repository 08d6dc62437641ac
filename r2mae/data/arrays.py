"""Samples that lie in memory as arrays: the simplest `SampleSource`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.fingerprint import fingerprint_array
from r2mae.data.source import Batch


class ArraySource:
    """Arrays with one row for each sample. Implements `SampleSource`.

    arrays: what a batch holds, by name, (N, ...) each.
    labels: (N,) class numbers, -1 for a sample without a label; None for data without labels.
    class_names: of the class numbers, in their order; by default the numbers themselves.
    sample_name: what a message calls a sample, in front of its number.

    Raises: ValueError for arrays of unequal length.
    """

    labels_absent = "no labels. Use data with a class for each sample."

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        labels: npt.NDArray[np.int64] | None = None,
        class_names: Sequence[str] = (),
        sample_name: str = "row",
    ) -> None:
        columns = [*arrays.values()] + ([] if labels is None else [labels])
        lengths = {len(column) for column in columns}
        if len(lengths) != 1:
            raise ValueError(f"arrays must have one length, got {sorted(lengths)}.")
        self._length = lengths.pop()
        self._tensors = {name: torch.from_numpy(a) for name, a in arrays.items()}
        self.labels = labels
        self.class_names = _names(labels, class_names)
        self.sample_name = sample_name
        fingerprints = [fingerprint_array(column) for column in columns]
        self.fingerprint = fingerprint_array(np.array(fingerprints))

    def __len__(self) -> int:
        return self._length

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Rows at indices (B,); the same whether they train or are measured."""
        rows = {name: tensor[indices] for name, tensor in self._tensors.items()}
        return rows | {"indices": indices}

    def name(self, index: int) -> str:
        """What a message calls the sample."""
        return f"{self.sample_name} {index}"


def _names(
    labels: npt.NDArray[np.int64] | None, names: Sequence[str]
) -> dict[int, str]:
    if labels is None or names:
        return dict(enumerate(names))
    return {number: str(number) for number in np.unique(labels[labels >= 0]).tolist()}
