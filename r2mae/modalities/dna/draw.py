"""Logos of expected bases for `r2mae report`. B windows, M hidden tokens."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r2mae.loaded_run import LoadedRun
from r2mae.modalities.dna.recipe_data import codec_of
from r2mae.modalities.dna.tokens import Codec
from r2mae.models.frozen_mask import frozen_mask
from r2mae.page.markup import paragraph
from r2mae.page.slider import RATIOS, ratio_slider

_WINDOWS, _BASES = 3, 48
_COLOURS = {"A": "#2a9d4a", "C": "#3b7dd8", "G": "#d98c00", "T": "#d8453b"}
_PITCH, _HEIGHT, _CAPITAL = 15, 50, 10.2  # pixels; a capital letter's height at 14 px
_CAPTION = (
    "Held-out windows. Above each hidden base is the model's expectation: letters by "
    "probability, a stack's height is its information of up to 2 bits. Below are the "
    "bases themselves; visible ones are faint."
)

Floats = npt.NDArray[np.float64]


def draw_samples(loaded: LoadedRun) -> str:
    """The first bases of some held-out windows at each mask ratio."""
    model: Any = loaded.model
    codec = codec_of(loaded.recipe)
    _, batch = loaded.held_out(_WINDOWS)
    bases = batch["bases"].cpu().numpy()
    frames = {}
    for ratio in RATIOS:
        mask = frozen_mask(model, batch, ratio)
        with torch.no_grad():
            logits = model.logits(batch, mask).double().cpu()
        expected = _expected_bases(logits, mask.is_masked.cpu(), codec, bases.shape)
        logos = [_logo(*row) for row in zip(bases, expected, strict=True)]
        frames[ratio] = "".join(logos)
    return paragraph(_CAPTION) + ratio_slider(frames)


def _expected_bases(
    logits: torch.Tensor,
    is_masked: torch.Tensor,
    codec: Codec | None,
    shape: tuple[int, ...],
) -> Floats:
    """Probabilities (B, N, 4) of bases; nan where the base is visible.

    logits: (M, V) row by row; is_masked: (B, tokens). A k-mer's probabilities are summed
    for each of its bases.
    """
    kmer, first = 1, 0
    if codec is not None:
        logits = logits[:, codec.kmers]
        kmer, first = codec.kmer, 1  # after the first special token
    joint = logits.softmax(dim=1).numpy().reshape(-1, *[4] * kmer)
    expected = np.full((*shape, 4), np.nan)
    rows, tokens = is_masked.numpy().nonzero()
    for place in range(kmer):
        others = tuple(axis + 1 for axis in range(kmer) if axis != place)
        columns = (tokens - first) * kmer + place
        expected[rows, columns] = joint.sum(axis=others)
    return expected


def _logo(bases: npt.NDArray[np.int64], expected: Floats) -> str:
    """SVG of the first bases (N,) of a window, and their expectation (N, 4)."""
    count = min(_BASES, len(bases))
    parts = []
    for number in range(count):
        x = _PITCH * (number + 0.5)
        is_visible = bool(np.isnan(expected[number, 0]))
        if not is_visible:
            parts.append(_stack(x, expected[number]))
        letter = "ACGTN"[min(int(bases[number]), 4)]
        opacity = "0.45" if is_visible else "1"
        parts.append(
            f'<text x="{x}" y="{_HEIGHT + 16}" opacity="{opacity}">{letter}</text>'
        )
    width, height = _PITCH * count, _HEIGHT + 22
    return (
        f'<div class="scroll"><svg role="img" aria-label="expected bases" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" style="max-width: none" '
        'font-family="monospace" font-size="14" font-weight="bold" text-anchor="middle" '
        f'fill="currentColor">{"".join(parts)}</svg></div>'
    )


def _stack(x: float, probabilities: Floats) -> str:
    """Letters on top of each other, the likeliest uppermost."""
    entropy = -float((probabilities * np.log2(probabilities + 1e-12)).sum())
    total = _HEIGHT * max(0.0, 2 - entropy) / 2
    y, parts = float(_HEIGHT), []
    for code in probabilities.argsort():
        height = total * float(probabilities[code])
        if height < 1:  # pixel
            continue
        letter = "ACGT"[code]
        scale = height / _CAPITAL
        parts.append(
            f'<text fill="{_COLOURS[letter]}" '
            f'transform="translate({x} {y:.1f}) scale(1.4 {scale:.2f})">{letter}</text>'
        )
        y -= height
    return "".join(parts)
