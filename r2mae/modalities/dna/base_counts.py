"""What counts of short contexts say of a hidden base: the simple model that a network has to beat.

A context is up to 4 bases on each side, as far as these are visible and known, counted on both strands.

Shapes: B windows, N positions, M hidden bases.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import SampleSource
from r2mae.errors import InputError

Floats = npt.NDArray[np.float64]
SIDE = 4  # bases to each side at most
_STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0)  # of a shorter context's word, in counts


def count_contexts(
    source: SampleSource,
    side: int = SIDE,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> npt.NDArray[np.int64]:
    """(4, ..., 4) how often each word of 2 * side + 1 bases occurs in the windows of a source, on both strands."""
    size = 2 * side + 1
    counts = torch.zeros(4**size, dtype=torch.int64)
    scale = 4 ** torch.arange(size - 1, -1, -1)
    for rows in torch.arange(len(source)).split(256):
        bases = source.load(rows, None, 0)["bases"]
        if bases.shape[1] < size:
            raise InputError(
                f"data.length must be {size} at least to count contexts, got {bases.shape[1]}."
            )
        words = bases.unfold(1, size, 1).flatten(0, 1)
        words = words[(words < 4).all(dim=1)]
        for strand in (words, 3 - words.flip(1)):
            counts += torch.bincount((strand * scale).sum(dim=1), minlength=len(counts))
        progress(int(rows[-1]) + 1, len(source))
    return counts.view((4,) * size).numpy()


class CountModel:
    """Shares of A, C, G, T given l bases to the left and r to the right, for all l, r of `side` at most.

    A context's counts are mixed with `strength` counts of what the next shorter one says: the longer side is shortened
    first, both where they are alike.
    """

    def __init__(self, counts: npt.NDArray[np.int64], strength: float) -> None:
        self.side = side = counts.ndim // 2
        self.tables: dict[tuple[int, int], Floats] = {}
        for left, right in sorted(np.ndindex(side + 1, side + 1), key=sum):
            outer = (*range(side - left), *range(side + 1 + right, 2 * side + 1))
            found = (
                counts.sum(axis=outer).reshape(4**left, 4, 4**right).astype(np.float64)
            )
            if left == right == 0:
                prior: Any = np.full((1, 4, 1), 0.25)
            else:
                shorter = (left - (left >= right), right - (right >= left))
                prior = self.tables[shorter]
                prior = np.tile(
                    prior, (4 ** (left - shorter[0]), 1, 1)
                )  # what is dropped is the leading digit
                prior = np.repeat(
                    prior, 4 ** (right - shorter[1]), axis=2
                )  # and the trailing one
            total = found.sum(axis=1, keepdims=True)
            self.tables[left, right] = (found + strength * prior) / (total + strength)

    def losses(self, bases: Tensor, is_hidden: Tensor) -> Floats:
        """(M,) nats at the hidden positions of bases (B, N), row by row."""
        is_seen = torch.nn.functional.pad(
            (bases < 4) & ~is_hidden, (self.side, self.side)
        )
        padded = torch.nn.functional.pad(bases, (self.side, self.side))
        row, place = is_hidden.nonzero(as_tuple=True)
        found = np.zeros(len(row))
        runs, numbers = [], []
        for step in (-1, 1):
            at = place[:, None] + self.side + step * torch.arange(1, self.side + 1)
            run = is_seen[row[:, None], at].long().cumprod(dim=1).sum(dim=1)
            letters = padded[row[:, None], at]
            runs.append(run.numpy())
            # Of the nearest n letters: to the left the nearest is the last digit, to the right the first.
            by_length = [torch.zeros_like(run)]
            for n in range(1, self.side + 1):
                digits = 4 ** (
                    torch.arange(n) if step < 0 else torch.arange(n - 1, -1, -1)
                )
                by_length.append((letters[:, :n] * digits).sum(dim=1))
            numbers.append(torch.stack(by_length).numpy())
        wanted = bases[row, place].numpy()
        for (left, right), table in self.tables.items():
            here = np.flatnonzero((runs[0] == left) & (runs[1] == right))
            found[here] = -np.log(
                table[numbers[0][left, here], wanted[here], numbers[1][right, here]]
            )
        return found


def count_models(counts: npt.NDArray[np.int64]) -> list[CountModel]:
    """A model for each of a few strengths: whichever does best on what is asked is the one to beat."""
    return [CountModel(counts, strength) for strength in _STRENGTHS]
