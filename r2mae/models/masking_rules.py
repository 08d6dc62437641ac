"""Which positions a model lets be masked, and how its input is corrupted.

Rules hold no parameters and work on the host, so that DataLoader workers draw masks. They
are pickled where workers do not start by a fork.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from r2mae.masking.mask import Mask


class MaskingRules(Protocol):
    """What drawing a mask needs to know of a model.

    Shapes: B samples, N positions.
    """

    @property
    def grid(self) -> tuple[int, ...]:
        """Layout of the N positions: (rows, columns), or (length,) where N varies by batch."""
        ...

    @property
    def gathers(self) -> bool:
        """Whether forward reads the mask's indices (`visible`, `masked`) or only `is_masked`."""
        ...

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) positions that may be masked: bool, or a `Role` each."""
        ...

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """Entries to add to the batch, such as token ids with [MASK] and random tokens.

        A function of (seed, position); empty for models that need none.
        """
        ...


@dataclass(frozen=True)
class EveryPosition:
    """Rules of a model whose positions may all be masked, and whose input is not corrupted."""

    grid: tuple[int, ...]
    gathers: bool = True

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) bool, all True. The batch holds "indices" (B,)."""
        indices = batch["indices"]
        shape = (len(indices), math.prod(self.grid))
        return torch.ones(shape, dtype=torch.bool, device=indices.device)

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """Nothing."""
        return {}


def masked_slots(batch: dict[str, Any], mask: Mask) -> Tensor:
    """(M,) int64: places of masked positions in the flattened rows, rising.

    batch: "masked_slots" where they were computed with the mask. On a GPU, computing them
        waits for the device.
    """
    slots: Tensor | None = batch.get("masked_slots")
    return mask.is_masked.flatten().nonzero()[:, 0] if slots is None else slots
