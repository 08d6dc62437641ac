"""Batches of tokens: rows of packed documents, or labelled sentences.

B rows, N tokens of a row, S segments: runs of tokens that attend to each other.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import Batch
from r2mae.data.tokenizer import borders, is_continuation
from r2mae.modalities.language.store import TextStore

Integers = npt.NDArray[np.int64]
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

    ids: (T,) int32, tokens of all texts. starts: (N + 1,) int64, offset of each text in ids.
    types: (T,) int8 token type ids, 1 for the second text of a pair, or None.
    labels: (N,) int64 class numbers, or None. targets: (N,) float32 for regression, or None.
    where: the file's path, for messages.
    """

    labels_absent = "none. Set data.label_column."

    def __init__(
        self,
        ids: npt.NDArray[np.int32],
        starts: Integers,
        types: npt.NDArray[np.int8] | None,
        *,
        pad: int,
        fingerprint: str,
        where: str,
        labels: Integers | None = None,
        class_names: dict[int, str] | None = None,
        targets: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.ids, self.starts, self.types = ids, starts, types
        self.pad = pad
        self.fingerprint = fingerprint
        self.where = where
        self.labels = labels
        self.class_names = class_names or {}
        self.targets = targets

    def __len__(self) -> int:
        return len(self.starts) - 1

    def name(self, index: int) -> str:
        """The file's path and the row."""
        return f"{self.where}, row {index}"

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


def tokenise_texts(
    tokenizer: Any, first: list[str], second: list[str] | None, length: int
) -> tuple[npt.NDArray[np.int32], Integers, npt.NDArray[np.int8] | None]:
    """(ids (T,), starts (N + 1,), token types (T,) or None) of N texts or pairs of texts.

    length: tokens, special ones included, to which each text or pair is truncated.
    """
    encoded = [_encode(tokenizer, first)]
    if second is not None:
        encoded.append(_encode(tokenizer, second))
    start, end = borders(tokenizer) or (0, 0)
    between = [] if second is None else _between(tokenizer, end)
    room = length - 2 - len(between)
    ids: list[int] = []
    types: list[int] = []
    starts = [0]
    for texts in zip(*encoded, strict=True):
        left, right = _truncate(texts, room)
        ids += [start, *left, *between, *right, end]
        types += [0] * (1 + len(left) + len(between)) + [1] * (len(right) + 1)
        starts.append(len(ids))
    token_types = None if second is None else np.array(types, dtype=np.int8)
    return (
        np.array(ids, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        token_types,
    )


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokens of each text, without special tokens."""
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    return [encoding.ids for encoding in encode(texts, add_special_tokens=False)]


def _between(tokenizer: Any, end: int) -> list[int]:
    """The special tokens between two texts of a pair: one [SEP], or the two of RoBERTa."""
    joined = tokenizer.backend_tokenizer.encode("a", "b")
    sides = joined.sequence_ids
    if 0 not in sides or 1 not in sides:
        return [end]
    return joined.ids[len(sides) - sides[::-1].index(0) : sides.index(1)] or [end]


def _truncate(texts: tuple[list[int], ...], room: int) -> list[list[int]]:
    """A text, or a pair, truncated to room tokens in all; a single text has an empty second."""
    if len(texts) == 1:
        return [texts[0][:room], []]
    return _truncate_pair(texts[0], texts[1], room)


def _truncate_pair(first: list[int], second: list[int], room: int) -> list[list[int]]:
    """Both texts truncated to room tokens in all, the longer one first."""
    half = room // 2
    if len(first) + len(second) <= room:
        return [first, second]
    if len(second) <= half:
        return [first[: room - len(second)], second]
    if len(first) <= half:
        return [first, second[: room - len(first)]]
    return [first[: room - half], second[:half]]


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = PackedRows
    _source_2: type[SampleSource] = Sentences
