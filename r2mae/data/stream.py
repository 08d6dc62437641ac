"""The order of samples: a function of (seed, position), in bounded memory.

Position p is the p-th sample that training reads. Every epoch holds every sample exactly
once, and the next one follows without a gap. Resuming needs the position alone, and the
number of devices does not change the order. Up to 2^40 samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from r2mae.masking.rng import RandomStream, bits, host_bits

MAX_SAMPLES = 1 << 40
_TABLE_ITEMS = 1 << 16
# Positions computed together: in calls of 64 each position would cost 100 times as much.
_CHUNK = 1 << 14
# Offsets permuted at once: ten million would have over 1 GiB of temporaries.
_WALKED = 1 << 18
# With 4 rounds, permutations of 8 to 64 items are up to a quarter off uniform.
_ROUNDS = 8


def permute(offsets: Tensor, num_items: int, key: int | Tensor) -> Tensor:
    """A keyed pseudo-random permutation of 0..num_items-1 at the given offsets (int64).

    Source: Feistel network with cycle walking (Black and Rogaway 2002).

    Args:
        offsets: (B,) int64 in [0, num_items).
        num_items: size of the permuted set, up to 2^40.
        key: selects the permutation; one for all offsets, or (B,) int64.
    """
    if num_items <= _TABLE_ITEMS and isinstance(key, int):
        return _table(num_items, key)[offsets]
    keys = torch.as_tensor(key)
    parts = offsets.split(_WALKED)
    part_keys = keys.split(_WALKED) if keys.ndim else [keys] * len(parts)
    walked = [
        _walk(part, num_items, k) for part, k in zip(parts, part_keys, strict=True)
    ]
    return torch.cat(walked) if len(walked) > 1 else walked[0]


@lru_cache(maxsize=8)
def _table(num_items: int, key: int) -> Tensor:
    """A small permutation in full, cached: computing a batch of 128 takes 11 ms."""
    with torch.device("cpu"):  # also while a model is outlined on the meta device
        return _walk(torch.arange(num_items), num_items, torch.tensor(key))


def _walk(offsets: Tensor, num_items: int, keys: Tensor) -> Tensor:
    half = max(1, ((num_items - 1).bit_length() + 1) // 2)
    result = _feistel(offsets, half, keys)
    outside = result >= num_items
    while bool(outside.any()):
        result[outside] = _feistel(
            result[outside], half, keys[outside] if keys.ndim else keys
        )
        outside = result >= num_items
    return result


def _feistel(values: Tensor, half: int, keys: Tensor) -> Tensor:
    low = (1 << half) - 1
    left, right = values >> half, values & low
    for turn in range(_ROUNDS):
        left, right = right, left ^ (bits(turn, RandomStream.ORDER, keys, right) & low)
    return (left << half) | right


@dataclass(frozen=True)
class Stream:
    """position -> index of a sample.

    num_samples: samples in an epoch.
    seed: of the run.
    block_samples: None shuffles all samples. A size keeps blocks of neighbours together,
        for data on disk: blocks are shuffled, and samples within windows of
        `window_blocks` blocks. Block borders move every epoch.
    repeats: positions of each sample (repeated augmentation). Two samples alternate, so
        that neighbours, which mixup pairs, differ. num_samples positions then hold
        num_samples / repeats samples.

    Source: Hoffer et al. 2020 (repeated augmentation).
    """

    num_samples: int
    seed: int
    block_samples: int | None = None
    window_blocks: int = 256
    repeats: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= MAX_SAMPLES:
            raise ValueError(
                f"num_samples must be in [1, 2^40], got {self.num_samples}."
            )
        if self.block_samples is not None and self.block_samples < 1:
            raise ValueError(
                f"block_samples must be at least 1, got {self.block_samples}."
            )

    def indices(self, positions: Tensor) -> Tensor:
        """Sample index of every position, (B,) int64 -> (B,) int64."""
        if self.repeats > 1:
            positions = positions // (2 * self.repeats) * 2 + positions % 2
        if not len(positions):
            return self._compute(positions)
        first, last = int(positions.min()) // _CHUNK, int(positions.max()) // _CHUNK
        # A small epoch is a cached table already.
        if last - first > 1 or self.num_samples < _CHUNK:
            return self._compute(positions)
        chunks = torch.cat([_chunk(self, number) for number in range(first, last + 1)])
        return chunks[positions - first * _CHUNK]

    def _compute(self, positions: Tensor) -> Tensor:
        epochs = positions // self.num_samples
        offsets = positions % self.num_samples
        result = torch.empty_like(positions)
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            result[here] = self._epoch_indices(
                offsets[here], host_bits(self.seed, RandomStream.ORDER, epoch) >> 2
            )
        return result

    def _epoch_indices(self, offsets: Tensor, key: int) -> Tensor:
        if self.block_samples is None:
            return permute(offsets, self.num_samples, key)
        block = min(self.block_samples, self.num_samples)
        mixed = self._shuffle_windows(offsets, block * self.window_blocks, key)
        # A shorter remainder stays last; the shift below moves it every epoch.
        num_blocks = self.num_samples // block
        slots = mixed // block
        is_full = slots < num_blocks
        shuffled = permute(slots[is_full], num_blocks, key + 1)
        mixed[is_full] = shuffled * block + mixed[is_full] % block
        return (mixed + key % self.num_samples) % self.num_samples

    def _shuffle_windows(self, offsets: Tensor, window: int, key: int) -> Tensor:
        numbers = offsets // window
        num_whole = self.num_samples // window
        result = offsets.clone()
        for group, size in (
            (numbers < num_whole, window),
            (numbers >= num_whole, self.num_samples % window),
        ):
            start = numbers[group] * window
            result[group] = start + permute(
                offsets[group] - start, max(1, size), key ^ numbers[group]
            )
        return result


@lru_cache(maxsize=8)
def _chunk(stream: Stream, number: int) -> Tensor:
    """Indices of a chunk of positions, cached: training reads positions in order."""
    return stream._compute(torch.arange(number * _CHUNK, (number + 1) * _CHUNK))


@dataclass(frozen=True)
class MicroBatches:
    """The positions that one rank reads: one list per micro-batch.

    From start_step to num_steps. A step takes global_samples consecutive positions on any
    number of devices. Micro-batch m of rank r takes per_device_samples of them, from
    (m * world_size + r) * per_device_samples on.
    """

    global_samples: int
    per_device_samples: int
    num_steps: int
    start_step: int = 0
    rank: int = 0
    world_size: int = 1

    @property
    def accumulation(self) -> int:
        """Micro-batches per step."""
        return self.global_samples // (self.per_device_samples * self.world_size)

    def __len__(self) -> int:
        return max(0, self.num_steps - self.start_step) * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start_step, self.num_steps):
            for micro in range(self.accumulation):
                first = step * self.global_samples
                first += (micro * self.world_size + self.rank) * self.per_device_samples
                yield list(range(first, first + self.per_device_samples))
