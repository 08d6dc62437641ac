"""Held-out texts with predicted tokens for `r2mae report`."""

import html
from typing import Any

import torch

from r2mae.loaded_run import LoadedRun
from r2mae.modalities.language.tokenizer import recipe_tokenizer
from r2mae.models.frozen_mask import frozen_mask
from r2mae.page.slider import RATIOS, ratio_slider

_TEXTS, _TOKENS, _TOP = 3, 96, 3
_CAPTION = (
    "<p>Held-out texts. Each hidden token is replaced by the likeliest one with its "
    'probability: <span class="wins">right</span> or '
    '<span class="loses">wrong, with the hidden token after it</span>. Point at one '
    "for the three likeliest.</p>"
)


def draw_samples(loaded: LoadedRun) -> str:
    """The first tokens of some held-out rows at each mask ratio."""
    model: Any = loaded.model
    tokenizer = recipe_tokenizer(loaded.recipe)
    _, batch = loaded.held_out(_TEXTS)
    ids = batch["input_ids"].cpu()
    frames = {}
    for ratio in RATIOS:
        mask = frozen_mask(model, batch, ratio)
        with torch.no_grad():
            probabilities, tokens = model.likeliest(batch, mask, _TOP)
        guesses = iter(zip(probabilities.tolist(), tokens.tolist(), strict=True))
        rows = []
        for row, is_masked in zip(ids.tolist(), mask.is_masked.tolist(), strict=True):
            of_row = [next(guesses) if hidden else None for hidden in is_masked]
            text = _fill(tokenizer, row[:_TOKENS], of_row[:_TOKENS])
            rows.append(f"<p>{text}</p>")
        frames[ratio] = "".join(rows)
    return _CAPTION + ratio_slider(frames)


def _fill(tokenizer: Any, ids: list[int], guesses: list[Any]) -> str:
    """HTML of a row; guesses: (probabilities, tokens) at hidden positions, else None."""
    parts: list[str] = []
    visible: list[int] = []
    for token, guess in zip(ids, guesses, strict=True):
        if guess is None:
            visible.append(token)
            continue
        parts.append(html.escape(tokenizer.decode(visible)))
        visible = []
        parts.append(_show(tokenizer, token, *guess))
    parts.append(html.escape(tokenizer.decode(visible)))
    return " ".join(part for part in parts if part)


def _show(
    tokenizer: Any, truth: int, probabilities: list[float], tokens: list[int]
) -> str:
    """The likeliest token and its probability; all of them as a tooltip."""
    names = [tokenizer.decode([token]).strip() for token in tokens]
    pairs = zip(names, probabilities, strict=True)
    tooltip = html.escape(", ".join(f"{name} {p:.2f}" for name, p in pairs), quote=True)
    text, css = f"{html.escape(names[0])} <small>{probabilities[0]:.2f}</small>", "wins"
    if tokens[0] != truth:
        right = html.escape(tokenizer.decode([truth]).strip())
        text, css = f"{text} [{right}]", "loses"
    return f'<span class="{css}" title="{tooltip}">{text}</span>'
