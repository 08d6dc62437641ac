"""The interface of every modality's data; held-out parts; batches for DataLoaders."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.stream import Stream, permute
from r2mae.errors import InputError

# Tensors with a leading B, among them "positions" (B,) and "indices" (B,).
Batch = dict[str, Any]
# Fixed: the samples held out do not depend on a run's seed.
HELD_OUT_KEY = 0x51D


class SampleSource(Protocol):
    """Samples by index.

    positions: seed the augmentation; None loads samples without, as evaluation does.
    """

    fingerprint: str

    def __len__(self) -> int: ...

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples at indices (B,).

        The batch's "indices" are those read, which differ where a sample was unreadable
        and another one replaced it.
        """
        ...

    def name(self, index: int) -> str:
        """Name of a sample in messages."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, -1 for a sample without a label; or None."""
        ...

    @property
    def labels_absent(self) -> str:
        """End of the error where labels are None: what was found instead, and the remedy."""
        ...

    @property
    def class_names(self) -> dict[int, str]:
        """Class number -> name, for every number in labels."""
        ...


def block_samples(source: SampleSource) -> int | None:
    """How many neighbours a source reads together; None for random access."""
    size: int | None = getattr(source, "block_samples", None)
    return size


def root_of(source: SampleSource) -> SampleSource:
    """The source behind parts of parts; "indices" of batches are indices of it."""
    while isinstance(source, Part):
        source = source.source
    return source


def rows_in_root(source: SampleSource) -> npt.NDArray[np.int64]:
    """(N,) the samples of a source in its order, as indices of its root."""
    rows = torch.arange(len(source))
    if isinstance(source, Part):
        rows = source.root_indices(rows)
    indices: npt.NDArray[np.int64] = rows.numpy()
    return indices


def has_labels(source: SampleSource) -> bool:
    """Whether the data has labels, without looking them up for every sample of a part."""
    return root_of(source).labels is not None


def with_labels(source: SampleSource) -> SampleSource:
    """The labelled samples of a source; the source itself where all, or none, are."""
    labels = source.labels
    if labels is None or (labels >= 0).all():
        return source
    return Chosen(source, np.flatnonzero(labels >= 0))


class Part:
    """A part of a source under a fixed permutation.

    The first `size` samples of the permutation or, with `held_out`, the rest. Where
    neighbours are read together (`block_samples`), blocks of them are permuted.
    """

    def __init__(self, source: SampleSource, size: int, held_out: bool) -> None:
        self.source = source
        self.fingerprint = source.fingerprint
        self.block_samples = block_samples(source)
        self.start, self.stop = (size, len(source)) if held_out else (0, size)

    def __len__(self) -> int:
        return self.stop - self.start

    def _outer(self, indices: Tensor) -> Tensor:
        """Indices within this part -> indices of the source it is a part of."""
        offsets, size = indices + self.start, len(self.source)
        block = self.block_samples
        if block is None or size < 2 * block:
            return permute(offsets, size, HELD_OUT_KEY)
        # A shorter remainder stays last, which is where samples are held out.
        num_blocks = size // block
        inside = offsets < num_blocks * block
        blocks, remainders = offsets[inside] // block, offsets[inside] % block
        offsets[inside] = permute(blocks, num_blocks, HELD_OUT_KEY) * block + remainders
        return offsets

    def root_indices(self, indices: Tensor) -> Tensor:
        """Indices within this part -> indices of `root_of(self)`."""
        outer = self._outer(indices)
        if isinstance(self.source, Part):
            return self.source.root_indices(outer)
        return outer

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples by index within this part; "indices" of the batch are of its root.

        An unreadable sample is replaced by the next readable one of this part, so that no
        sample moves between training and held-out data.
        """
        root = root_of(self)
        skipped: tuple[str, ...] = ()
        for _ in range(len(self)):
            expected = self.root_indices(indices)
            batch = root.load(expected, positions, seed)
            skipped = tuple(dict.fromkeys((*skipped, *batch.get("skipped", ()))))
            is_replaced = batch["indices"] != expected
            if not is_replaced.any():
                return batch | {"skipped": skipped}
            indices = torch.where(is_replaced, (indices + 1) % len(self), indices)
        raise InputError(
            "data must hold a readable sample in every part, got none. Check the files."
        )

    def name(self, index: int) -> str:
        """Name of a sample in messages."""
        return self.source.name(int(self._outer(torch.tensor([index]))))

    @cached_property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) int64, or None when the data has no labels. Looked up once, in seconds for ten million samples."""
        labels = self.source.labels
        return (
            None
            if labels is None
            else labels[self._outer(torch.arange(len(self))).numpy()]
        )

    @property
    def labels_absent(self) -> str:
        """End of the error where labels are None."""
        return self.source.labels_absent

    @property
    def class_names(self) -> dict[int, str]:
        """Class number -> name."""
        return self.source.class_names


class Chosen(Part):
    """Some samples of a source, by their rows (N,)."""

    def __init__(self, source: SampleSource, rows: npt.NDArray[np.int64]) -> None:
        super().__init__(source, len(rows), held_out=False)
        self.rows = torch.from_numpy(rows)

    def _outer(self, indices: Tensor) -> Tensor:
        return self.rows[indices]


def load_plain(source: SampleSource, rows: Tensor, device: torch.device) -> Batch:
    """Samples at rows (B,) without augmentation, on a device."""
    return move(source.load(rows, None, 0), device)


def move(batch: Batch, device: torch.device) -> Batch:
    """A batch, and batches within it, with their tensors on a device."""
    moved = dict(batch)
    for key, value in batch.items():
        if isinstance(value, Tensor):
            # Batches of workers are pinned for a GPU; copies from one must be waited for.
            moved[key] = value.to(device, non_blocking=device.type == "cuda")
        elif isinstance(value, dict):
            moved[key] = move(value, device)
    return moved


def batch_labels(source: SampleSource, batch: Batch) -> npt.NDArray[np.int64]:
    """(B,) class numbers of the samples read; a replacement has its own label.

    source: the source, with labels, that loaded the batch.
    """
    labels = root_of(source).labels
    assert labels is not None
    indices: npt.NDArray[np.int64] = batch["indices"].cpu().numpy()
    return labels[indices]


def hold_out(source: SampleSource, share: float) -> tuple[SampleSource, SampleSource]:
    """Split a source into a training part and a held-out part of round(share * N) samples.

    A source whose samples overlap may have a `hold_out(share)` of its own, whose result
    is used unless it is None.

    Raises: InputError when either part would be empty.
    """
    apart: tuple[SampleSource, SampleSource] | None = (
        source.hold_out(share) if hasattr(source, "hold_out") else None
    )
    if apart is not None:
        return apart
    size = len(source) - round(share * len(source))
    if not 0 < size < len(source):
        remedy = "Use more data or another fraction."
        raise InputError(
            f"data.held_out must leave samples on both sides of {len(source)}, "
            f"got {share}. {remedy}"
        )
    return Part(source, size, held_out=False), Part(source, size, held_out=True)


class StreamDataset(torch.utils.data.Dataset[Batch]):
    """Maps lists of positions to batches, in DataLoader workers. Has no mutable state."""

    def __init__(self, source: SampleSource, stream: Stream) -> None:
        self.source = source
        self.stream = stream

    def __getitems__(self, positions: list[int]) -> Batch:
        at = torch.tensor(positions)
        indices = self.stream.indices(at)
        batch = load_or_error(self.source, indices, at, self.stream.seed)
        if "error" in batch:
            return batch
        return batch | {"positions": at, "first_position": positions[0]}


def load_or_error(
    source: SampleSource,
    indices: Tensor,
    positions: Tensor | None = None,
    seed: int = 0,
) -> Batch:
    """`source.load` in a DataLoader worker: {"error": message} for an InputError.

    An exception would leave the worker as a traceback, not as one line.
    """
    try:
        return source.load(indices, positions, seed)
    except InputError as error:
        return {"error": str(error)}


def check_loaded(batch: Batch) -> Batch:
    """The batch. Raises: InputError, the one that `load_or_error` met."""
    if "error" in batch:
        raise InputError(batch["error"])
    return batch


def as_is(batch: Batch) -> Batch:
    """The collate function: samples are already batched."""
    return batch


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _source: type[SampleSource] = Part
