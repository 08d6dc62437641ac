"""Batches of sequences. Shorter ones are padded.

Shapes: N sequences, T bases of all of them, B sequences of a batch, L bases of its longest.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.mapped import Integers
from r2mae.data.source import Batch
from r2mae.modalities.dna.genome.bases import COMPLEMENT, Codes
from r2mae.modalities.dna.genome.windows import draw_strands
from r2mae.modalities.dna.tokens import PADDING


class Sequences:
    """A `SampleSource` of sequences: codes (T,) end to end, starts (N + 1,).

    `load` gives "bases" (B, L) int64 and, where lengths differ, "lengths" (B,). Of longer
    sequences only the `most` bases in the middle are read.

    both_strands: with positions, half of the sequences are read from the other strand,
        chosen by a hash of their position. Without positions, "other_strand" holds a batch
        of the other strands.
    targets: (N,) numbers to predict, for regression.
    left_out: training sequences that the test split holds too.
    names: of FASTA records.
    note: what part of the sequences is not read, for the user.
    """

    labels_absent = "none. Set data.label_column."

    def __init__(
        self,
        codes: Codes,
        starts: Integers,
        most: int,
        *,
        fingerprint: str,
        where: str,
        labels: Integers | None = None,
        targets: npt.NDArray[np.float32] | None = None,
        class_names: dict[int, str] | None = None,
        left_out: int = 0,
        both_strands: bool = False,
        names: list[str] | None = None,
        note: str = "",
    ) -> None:
        self.codes, self.starts, self.most = codes, starts, most
        self.fingerprint, self.where = fingerprint, where
        self.labels, self.class_names = labels, class_names or {}
        self.targets = targets
        self.left_out = left_out
        self.both_strands = both_strands
        self.names = names
        self.note = note
        sizes = np.minimum(np.diff(starts), most)
        self.shortest = int(sizes.min())
        self.is_even = self.shortest == int(sizes.max())

    def __len__(self) -> int:
        return len(self.starts) - 1

    def name(self, index: int) -> str:
        """The record's name, or the file and the row."""
        return f"{self.where}, row {index}" if self.names is None else self.names[index]

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Sequences at indices (B,), padded to the longest of them."""
        rows = indices.numpy()
        is_reverse = np.zeros(len(rows), dtype=np.bool_)
        if positions is not None and self.both_strands:
            is_reverse = draw_strands(positions, seed)
        batch = self._read(rows, is_reverse)
        if positions is None and self.both_strands:
            batch["other_strand"] = self._read(rows, ~is_reverse)
        return batch | {"indices": indices, "skipped": ()}

    def _read(self, rows: Integers, is_reverse: npt.NDArray[np.bool_]) -> Batch:
        """Sequences at rows (B,), each from the strand that is_reverse (B,) says."""
        turned = is_reverse[:, None]
        full_lengths = (self.starts[rows + 1] - self.starts[rows])[:, None]
        lengths = np.minimum(full_lengths, self.most)
        # Each strand has its own middle: one base apart where an odd number is cut off.
        begins = self.starts[rows, None] + (full_lengths - lengths + turned) // 2
        place = np.arange(int(lengths.max()))
        is_inside = place < lengths
        offsets = begins + np.where(turned, lengths - 1 - place, place)
        codes = self.codes[np.where(is_inside, offsets, 0)]
        codes = np.where(turned, COMPLEMENT[codes], codes)
        bases = np.where(is_inside, codes, PADDING).astype(np.int64)
        batch: Batch = {"bases": torch.from_numpy(bases)}
        if not self.is_even:
            batch["lengths"] = torch.from_numpy(lengths[:, 0])
        return batch


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = Sequences
