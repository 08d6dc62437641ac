"""Texts as batches: rows of packed documents, or labelled sentences.

B rows, N tokens of the longest, S segments: runs of tokens that see each other.
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
BLOCK_ROWS = 32  # neighbours that are read together


class PackedRows:
    """A `SampleSource` of rows of a store: tokens r * N to (r + 1) * N, whatever documents these are of.

    `load` gives "input_ids" (B, N) int64; "segment_starts" and "segment_lengths" (S,), numpy, in the flattened rows;
    with words, "units" (B, N), the word each token is of. Only the last row may be padded.
    """

    def __init__(
        self,
        store: TextStore,
        length: int,
        *,
        attend: str = "document",
        words: bool = False,
    ) -> None:
        self.store = store
        self.length = length
        self.attend = attend
        self.fingerprint = store.fingerprint
        self.block_samples = BLOCK_ROWS
        self.pad = int(store.tokenizer.pad_token_id)
        self.continues = (
            torch.from_numpy(is_continuation(store.tokenizer)) if words else None
        )

    labels = None
    labels_absent = (
        "none, since texts that are packed have none. Fine-tune on sentences instead."
    )

    def __len__(self) -> int:
        return -(-int(self.store.meta["tokens"]) // self.length)

    @property
    def class_names(self) -> dict[int, str]:
        """No classes."""
        return {}

    @property
    def utilisation(self) -> float:
        """Share of positions that hold a token."""
        return float(self.store.meta["tokens"]) / (len(self) * self.length)

    def name(self, index: int) -> str:
        """What a message calls a row."""
        return f"{self.store.place}, tokens {index * self.length:,} to {(index + 1) * self.length:,}"

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:  # noqa: ARG002 - nothing is random
        """Rows at indices (B,)."""
        rows, length, store = indices.numpy(), self.length, self.store
        tokens, total = store.tokens, int(store.meta["tokens"])
        ids = np.full((len(rows), length), self.pad, dtype=np.int64)
        starts: list[Integers] = []
        lengths: list[Integers] = []
        for place, row in enumerate(rows):
            begin, end = row * length, min((row + 1) * length, total)
            ids[place, : end - begin] = tokens[begin:end]
            cuts = np.array([begin])
            if self.attend == "document":
                documents = store.documents
                inside = documents[
                    np.searchsorted(documents, begin, "right") : np.searchsorted(
                        documents, end, "left"
                    )
                ]
                cuts = np.concatenate([cuts, inside])
            starts.append(cuts - begin + place * length)
            lengths.append(np.diff(np.append(cuts, end)))
        batch: Batch = {
            "input_ids": torch.from_numpy(ids),
            "indices": indices,
            "skipped": (),
        }
        batch |= {
            "segment_starts": np.concatenate(starts),
            "segment_lengths": np.concatenate(lengths),
        }
        if self.continues is not None:
            batch["units"] = (~self.continues[batch["input_ids"]]).cumsum(dim=1)
        return batch


class Sentences:
    """A `SampleSource` of labelled texts, or pairs, each a segment of its own; shorter ones are padded.

    ids: (T,) tokens of all texts; starts: (N + 1,) where each begins. types: (T,) 1 for the second of a pair.
    targets: (N,) numbers to predict, where labels are no classes.
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
        labels: Integers | None,
        class_names: dict[int, str],
        targets: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.ids, self.starts, self.types = ids, starts, types
        self.pad = pad
        self.fingerprint = fingerprint
        self.where = where
        self.labels = labels
        self.class_names = class_names
        self.targets = targets

    def __len__(self) -> int:
        return len(self.starts) - 1

    def name(self, index: int) -> str:
        """What a message calls a text."""
        return f"{self.where}, row {index}"

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:  # noqa: ARG002 - nothing is random
        """Texts at indices (B,), padded to the longest of them."""
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
    """(ids (T,), starts (N + 1,), types (T,) or None) of texts, or pairs, with border tokens, cut to length."""
    pairs = [first] if second is None else [first, second]
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    encoded = [
        [found.ids for found in encode(texts, add_special_tokens=False)]
        for texts in pairs
    ]
    start, end = borders(tokenizer) or (0, 0)
    between = [] if second is None else _between(tokenizer, end)
    room = length - 2 - len(between)
    parts: list[list[int]] = []
    kinds: list[list[int]] = []
    for texts in zip(*encoded, strict=True):
        cut = (
            [texts[0][:room], []]
            if len(texts) == 1
            else _cut_pair(texts[0], texts[1], room)
        )
        parts.append([start, *cut[0], *between, *cut[1], end])
        kinds.append([0] * (1 + len(cut[0]) + len(between)) + [1] * (len(cut[1]) + 1))
    starts = np.cumsum([0, *map(len, parts)])
    ids = np.fromiter(
        (token for part in parts for token in part),
        dtype=np.int32,
        count=int(starts[-1]),
    )
    if second is None:
        return ids, starts, None
    return (
        ids,
        starts,
        np.fromiter(
            (kind for part in kinds for kind in part),
            dtype=np.int8,
            count=int(starts[-1]),
        ),
    )


def _between(tokenizer: Any, end: int) -> list[int]:
    """The special tokens between two texts of a pair, as the tokenizer joins them: one, or RoBERTa's two."""
    joined = tokenizer.backend_tokenizer.encode("a", "b")
    sides = joined.sequence_ids
    if 0 not in sides or 1 not in sides:
        return [end]
    return joined.ids[len(sides) - sides[::-1].index(0) : sides.index(1)] or [end]


def _cut_pair(first: list[int], second: list[int], room: int) -> list[list[int]]:
    """Both cut to room tokens in all, the longer one first."""
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
