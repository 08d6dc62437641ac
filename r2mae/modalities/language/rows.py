"""Batches of tokens: rows of packed documents, or labelled sentences.

B rows, N tokens of a row, S segments: runs of tokens that attend to each other.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import Batch
from r2mae.data.tokenizer import is_continuation
from r2mae.modalities.language.store import TextStore
from r2mae.modalities.language.tokenise import Integers, Tokens

BLOCK_ROWS = 32  # consecutive rows that are read together


class PackedRows:
    """A `SampleSource` of packed rows of a store: row r holds tokens r * N to (r + 1) * N.

    `load` gives "input_ids" (B, N) int64, and numpy arrays "segment_starts" and
    "segment_lengths" (S,), offsets into the flattened rows. Only the last row may be padded.

    attend: a segment is the part of a document in a row ("document") or the row ("row").
    with_units: batches have "units" (B, N) too, the number of each token's word in its row.
    """

    def __init__(
        self,
        store: TextStore,
        length: int,
        *,
        attend: str = "document",
        with_units: bool = False,
    ) -> None:
        self.store = store
        self.length = length
        self.attend = attend
        self.fingerprint = store.fingerprint
        self.block_samples = BLOCK_ROWS
        self.pad = int(store.tokenizer.pad_token_id)
        self.is_continuation: Tensor | None = None
        if with_units:
            self.is_continuation = torch.from_numpy(is_continuation(store.tokenizer))

    labels = None
    labels_absent = (
        "none, as packed texts have no labels. Fine-tune on labelled sentences instead."
    )

    def __len__(self) -> int:
        return -(-int(self.store.meta["tokens"]) // self.length)

    @property
    def class_names(self) -> dict[int, str]:
        """No classes."""
        return {}

    @property
    def utilisation(self) -> float:
        """Share of positions that hold a token rather than padding."""
        return float(self.store.meta["tokens"]) / (len(self) * self.length)

    def name(self, index: int) -> str:
        """The store's path and the range of tokens."""
        return f"{self.store.place}, tokens {index * self.length:,} to {(index + 1) * self.length:,}"

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Rows at indices (B,)."""
        rows, length = indices.numpy(), self.length
        tokens, total = self.store.tokens, int(self.store.meta["tokens"])
        ids = np.full((len(rows), length), self.pad, dtype=np.int64)
        starts: list[Integers] = []
        lengths: list[Integers] = []
        for place, row in enumerate(rows):
            begin, end = row * length, min((row + 1) * length, total)
            ids[place, : end - begin] = tokens[begin:end]
            segments = self._segments(begin, end)
            starts.append(segments - begin + place * length)
            lengths.append(np.diff(np.append(segments, end)))
        batch: Batch = {
            "input_ids": torch.from_numpy(ids),
            "indices": indices,
            "skipped": (),
        }
        batch |= {
            "segment_starts": np.concatenate(starts),
            "segment_lengths": np.concatenate(lengths),
        }
        if self.is_continuation is not None:
            is_start = ~self.is_continuation[batch["input_ids"]]
            batch["units"] = is_start.cumsum(dim=1)
        return batch

    def _segments(self, begin: int, end: int) -> Integers:
        """The first token of each segment among tokens begin to end of the store."""
        if self.attend == "row":
            return np.array([begin])
        documents = self.store.documents
        first = np.searchsorted(documents, begin, "right")
        last = np.searchsorted(documents, end, "left")
        return np.concatenate([np.array([begin]), documents[first:last]])


class Sentences:
    """A `SampleSource` of labelled texts, or pairs of texts. Each is a segment of its own.

    tokens: of N texts. A text in several windows has a sample for each of them; `owners`
        says which belong together.
    where: the file's path, for messages. numbers: (N,) each text's row in the file.
    files: of the texts, where each is a file of its own.
    labels: (N,) int64 class numbers, or None. targets: (N,) float32 for regression, or None.
    note: which rows of the file were left out.
    """

    labels_absent = "none. Set data.label_column."

    def __init__(
        self,
        tokens: Tokens,
        numbers: Integers,
        *,
        pad: int,
        fingerprint: str,
        where: str,
        unit: str = "row",
        files: tuple[Path, ...] = (),
        labels: Integers | None = None,
        class_names: dict[int, str] | None = None,
        targets: npt.NDArray[np.float32] | None = None,
        note: str = "",
    ) -> None:
        self.tokens, self.numbers = tokens, numbers
        self.ids, self.starts, self.types = tokens.ids, tokens.starts, tokens.types
        self.owners = tokens.owners
        self.pad = pad
        self.fingerprint = fingerprint
        self.where, self.unit, self.files = where, unit, files
        self.labels = labels
        self.class_names = class_names or {}
        self.targets = targets
        self.note = note

    def __len__(self) -> int:
        return len(self.starts) - 1

    def name(self, index: int) -> str:
        """The file's path, and the row where a file has several texts."""
        owner = self.owners[index]
        if self.files:
            return str(self.files[owner])
        return f"{self.where}, {self.unit} {self.numbers[owner]}"

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Texts at indices (B,), padded to the longest of the batch."""
        rows = indices.numpy()
        begins, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        place = np.arange(int(lengths.max()))
        where = np.minimum(begins[:, None] + place, len(self.ids) - 1)
        is_token = place < lengths[:, None]
        ids = np.where(is_token, self.ids[where], self.pad).astype(np.int64)
        batch: Batch = {
            "input_ids": torch.from_numpy(ids),
            "indices": indices,
            "skipped": (),
        }
        batch |= {
            "segment_starts": np.arange(len(rows)) * len(place),
            "segment_lengths": lengths,
        }
        if self.types is not None:
            batch["types"] = torch.from_numpy(
                np.where(is_token, self.types[where], 0).astype(np.int64)
            )
        return batch


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = PackedRows
    _source_2: type[SampleSource] = Sentences
