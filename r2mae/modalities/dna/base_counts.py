"""Baseline for masked bases: predictions from counts of short contexts.

A context is up to 4 bases on each side, up to the first masked base or N. Contexts are
counted on both strands.

Shapes: B windows, N positions, M hidden bases.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import SampleSource
from r2mae.errors import InputError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SIDE = 4  # bases to each side at most
STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0)  # pseudocounts of the shorter context


def count_contexts(
    source: SampleSource,
    side: int = SIDE,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> npt.NDArray[np.int64]:
    """(4, ..., 4) counts of (2 * side + 1)-mers on both strands of a source's windows."""
    size = 2 * side + 1
    counts = torch.zeros(4**size, dtype=torch.int64)
    scale = 4 ** torch.arange(size - 1, -1, -1)
    for rows in torch.arange(len(source)).split(256):
        bases = source.load(rows, None, 0)["bases"]
        if bases.shape[1] < size:
            raise InputError(
                f"data.length must be at least {size} to count contexts, got {bases.shape[1]}. "
                "Use longer windows."
            )
        kmers = bases.unfold(1, size, 1).flatten(0, 1)
        kmers = kmers[(kmers < 4).all(dim=1)]
        for strand in (kmers, 3 - kmers.flip(1)):
            counts += torch.bincount((strand * scale).sum(dim=1), minlength=len(counts))
        progress(int(rows[-1]) + 1, len(source))
    return counts.view((4,) * size).numpy()


class CountModel:
    """Probabilities of A, C, G, T given up to `side` bases to the left and to the right.

    The counts of a context are mixed with `strength` pseudocounts of the next shorter context.
    The longer side is shortened first, or both if they are alike.
    """

    def __init__(self, counts: npt.NDArray[np.int64], strength: float) -> None:
        self.side = side = counts.ndim // 2
        self.tables: dict[tuple[int, int], Floats] = {}
        for left, right in sorted(np.ndindex(side + 1, side + 1), key=sum):
            outer = (*range(side - left), *range(side + 1 + right, 2 * side + 1))
            shape = (4**left, 4, 4**right)
            inner = counts.sum(axis=outer).reshape(shape).astype(np.float64)
            total = inner.sum(axis=1, keepdims=True)
            prior = self._prior(left, right)
            self.tables[left, right] = (inner + strength * prior) / (total + strength)

    def _prior(self, left: int, right: int) -> Floats:
        """The table of the next shorter context, spread over the contexts (left, right)."""
        if left == right == 0:
            return np.full((1, 4, 1), 0.25)
        drops_left, drops_right = left >= right, right >= left
        prior = self.tables[left - drops_left, right - drops_right]
        if drops_left:  # the leading digit
            prior = np.tile(prior, (4, 1, 1))
        if drops_right:  # the trailing digit
            prior = np.repeat(prior, 4, axis=2)
        return prior

    def losses(self, bases: Tensor, is_hidden: Tensor) -> Floats:
        """(M,) nats at the hidden positions of bases (B, N), row by row."""
        left_length, left_number = self._contexts(bases, is_hidden, -1)
        right_length, right_number = self._contexts(bases, is_hidden, 1)
        targets = bases[is_hidden].numpy()
        losses = np.zeros(len(targets))
        for (left, right), table in self.tables.items():
            here = np.flatnonzero((left_length == left) & (right_length == right))
            probability = table[
                left_number[left, here], targets[here], right_number[right, here]
            ]
            losses[here] = -np.log(probability)
        return losses

    def _contexts(
        self, bases: Tensor, is_hidden: Tensor, step: Literal[-1, 1]
    ) -> tuple[Integers, Integers]:
        """(lengths (M,), numbers (side + 1, M)) of the contexts on one side of each hidden base.

        numbers[n]: the index in a table of the nearest n bases. To the left of the hidden base the
        nearest is the last digit, to the right the first.
        """
        border = (self.side, self.side)
        is_visible = torch.nn.functional.pad((bases < 4) & ~is_hidden, border)
        padded = torch.nn.functional.pad(bases, border)
        row, place = is_hidden.nonzero(as_tuple=True)
        at = place[:, None] + self.side + step * torch.arange(1, self.side + 1)
        length = is_visible[row[:, None], at].long().cumprod(dim=1).sum(dim=1)
        letters = padded[row[:, None], at]
        numbers = [torch.zeros_like(length)]
        for n in range(1, self.side + 1):
            powers = torch.arange(n) if step < 0 else torch.arange(n - 1, -1, -1)
            numbers.append((letters[:, :n] * 4**powers).sum(dim=1))
        return length.numpy(), torch.stack(numbers).numpy()


def count_models(counts: npt.NDArray[np.int64]) -> list[CountModel]:
    """A model for each of five strengths; the baseline is the one with the lowest loss."""
    return [CountModel(counts, strength) for strength in STRENGTHS]
