"""What every modality's data offers, and how a split is held out and streamed."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.stream import Stream, permute
from r2mae.errors import InputError

Batch = dict[
    str, Any
]  # tensors with a leading B, "positions" (B,) and "indices" (B,) among them
HELD_OUT_KEY = (
    0x51D  # fixed: which samples are held out does not depend on a run's seed
)


class SampleSource(Protocol):
    """Samples by index. `positions` seeds augmentation; None asks for the plain view used by evaluation."""

    fingerprint: str

    def __len__(self) -> int: ...

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples at indices (B,); the batch's "indices" say which were read, where others stand in for them."""
        ...

    def name(self, index: int) -> str:
        """What a message calls the sample."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, -1 for a sample without a label; or None."""
        ...

    @property
    def labels_absent(self) -> str:
        """Where labels are None, what there is instead and the remedy, as the end of a message."""
        ...

    @property
    def class_names(self) -> dict[int, str]:
        """What people call the class numbers; every number in labels has a name."""
        ...


def block_samples(source: SampleSource) -> int | None:
    """How many neighbours a source reads together; None where it makes no difference."""
    found: int | None = getattr(source, "block_samples", None)
    return found


def root_of(source: SampleSource) -> SampleSource:
    """The source that a part, or a part of a part, is of: whose indices batches speak in."""
    while isinstance(source, Part):
        source = source.source
    return source


def rows_in_root(source: SampleSource) -> npt.NDArray[np.int64]:
    """(N,) all samples of a source in its order, as indices of the whole one."""
    rows = torch.arange(len(source))
    found: npt.NDArray[np.int64] = (
        source._whole(rows) if isinstance(source, Part) else rows
    ).numpy()
    return found


def with_labels(source: SampleSource) -> SampleSource:
    """The samples that have a label, where some have none (-1); otherwise the source itself."""
    labels = source.labels
    return (
        source
        if labels is None or (labels >= 0).all()
        else Chosen(source, np.flatnonzero(labels >= 0))
    )


class Part:
    """A share of a source, chosen by a fixed permutation: the first `size` or, with `held_out`, the rest.

    Where neighbours are read together (`block_samples`), blocks of them are permuted, and stay neighbours.
    """

    def __init__(self, source: SampleSource, size: int, held_out: bool) -> None:
        self.source = source
        self.fingerprint = source.fingerprint
        self.block_samples = block_samples(source)
        self.start, self.stop = (size, len(source)) if held_out else (0, size)

    def __len__(self) -> int:
        return self.stop - self.start

    def _outer(self, indices: Tensor) -> Tensor:
        offsets, size = indices + self.start, len(self.source)
        block = self.block_samples
        if block is None or size < 2 * block:
            return permute(offsets, size, HELD_OUT_KEY)
        # A shorter remainder stays last, which is where samples are held out.
        whole = size // block
        inside = offsets < whole * block
        offsets[inside] = (
            permute(offsets[inside] // block, whole, HELD_OUT_KEY) * block
            + offsets[inside] % block
        )
        return offsets

    def _whole(self, indices: Tensor) -> Tensor:
        """Indices within this part as those of the whole source, through all parts of parts."""
        outer = self._outer(indices)
        return self.source._whole(outer) if isinstance(self.source, Part) else outer

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples by index within this part; the batch's "indices" are those of the whole source.

        What stands in for an unreadable sample is of this part too: the next one of it that is readable.
        """
        root = root_of(self)
        skipped: tuple[str, ...] = ()
        for _ in range(len(self)):
            asked = self._whole(indices)
            batch = root.load(asked, positions, seed)
            skipped = tuple(dict.fromkeys((*skipped, *batch.get("skipped", ()))))
            strange = batch["indices"] != asked
            if not strange.any():
                return batch | {"skipped": skipped}
            indices = torch.where(strange, (indices + 1) % len(self), indices)
        raise InputError(
            "data must hold at least one readable sample in every part, got none."
        )

    def name(self, index: int) -> str:
        """What a message calls the sample."""
        return self.source.name(int(self._outer(torch.tensor([index]))))

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) int64, or None when the data has no labels."""
        labels = self.source.labels
        return (
            None
            if labels is None
            else labels[self._outer(torch.arange(len(self))).numpy()]
        )

    @property
    def labels_absent(self) -> str:
        """Why there are no labels, as the end of a message."""
        return self.source.labels_absent

    @property
    def class_names(self) -> dict[int, str]:
        """What people call the class numbers."""
        return self.source.class_names


class Chosen(Part):
    """Some samples of a source, by their rows (N,)."""

    def __init__(self, source: SampleSource, rows: npt.NDArray[np.int64]) -> None:
        super().__init__(source, len(rows), held_out=False)
        self.rows = torch.from_numpy(rows)

    def _outer(self, indices: Tensor) -> Tensor:
        return self.rows[indices]


def load_plain(source: SampleSource, rows: Tensor, device: torch.device) -> Batch:
    """Samples at rows (B,) as evaluation sees them, without augmentation, on a device."""
    return _on(device, source.load(rows, None, 0))


def _on(device: torch.device, batch: Batch) -> Batch:
    """A batch, and batches within it, with their tensors on a device."""
    moved = {
        key: value.to(device)
        for key, value in batch.items()
        if isinstance(value, Tensor)
    }
    return (
        batch
        | moved
        | {
            key: _on(device, value)
            for key, value in batch.items()
            if isinstance(value, dict)
        }
    )


def batch_labels(source: SampleSource, batch: Batch) -> npt.NDArray[np.int64]:
    """(B,) class numbers of the samples that were read: a neighbour that stands in brings its own label.

    source: the one, with labels, that loaded the batch.
    """
    labels = root_of(source).labels
    assert labels is not None
    indices: npt.NDArray[np.int64] = batch["indices"].cpu().numpy()
    return labels[indices]


def hold_out(source: SampleSource, share: float) -> tuple[SampleSource, SampleSource]:
    """Split a source into a training part and a held-out part of round(share * N) samples.

    A source whose samples overlap says itself how, by a `hold_out(share)` that does not give None.
    Raises: InputError when either part would be empty.
    """
    apart: tuple[SampleSource, SampleSource] | None = (
        source.hold_out(share) if hasattr(source, "hold_out") else None
    )
    if apart is not None:
        return apart
    size = len(source) - round(share * len(source))
    if not 0 < size < len(source):
        remedy = "Use more data or another share."
        raise InputError(
            f"data.held_out must leave samples on both sides of {len(source)}, got {share}. {remedy}"
        )
    return Part(source, size, held_out=False), Part(source, size, held_out=True)


class StreamDataset(torch.utils.data.Dataset[Batch]):
    """Positions in, batches out: what a DataLoader worker runs. Holds no state that training would change."""

    def __init__(self, source: SampleSource, stream: Stream) -> None:
        self.source = source
        self.stream = stream

    def __getitems__(self, positions: list[int]) -> Batch:
        at = torch.tensor(positions)
        try:
            batch = self.source.load(self.stream.indices(at), at, self.stream.seed)
        except (
            InputError
        ) as error:  # an exception would leave the worker as a traceback
            return {"error": str(error)}
        return batch | {"positions": at, "first_position": positions[0]}


def as_is(batch: Batch) -> Batch:
    """The collate function: batches arrive made."""
    return batch
