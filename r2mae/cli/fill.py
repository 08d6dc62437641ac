"""`r2mae fill`: what a language model puts where a text says [MASK]."""

import argparse
import json
from typing import Any

from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Print the likeliest tokens of every hidden place."""
    from r2mae.recipe.run import load_run

    places = fill(load_run(arguments.run, arguments.checkpoint), arguments.text, arguments.top)
    if arguments.json:
        print(json.dumps({"text": arguments.text, "places": places}))
        return
    for number, place in enumerate(places, 1):
        words = ", ".join(f"{found['token']!r} {found['probability']:.3f}" for found in place)
        print(f"{number}: {words}")


def fill(loaded: Any, text: str, top: int) -> list[list[dict[str, Any]]]:
    """For each [MASK] of a text, the likeliest tokens with their probabilities.

    Raises: InputError for a run without a masked language model, a text without [MASK] or too long.
    """
    import numpy as np
    import torch

    from r2mae.masking.pattern import build_mask
    from r2mae.models.language import MaskedLanguageModel
    from r2mae.recipe.language_config import tokenizer_of

    model = loaded.model
    if loaded.recipe.modality != "language" or not isinstance(model, MaskedLanguageModel):
        raise InputError(
            f"RUN must be a pretraining run on texts, got {loaded.recipe.task} on {loaded.recipe.modality}."
        )
    tokenizer = tokenizer_of(loaded.recipe)
    if tokenizer.mask_token not in text:
        raise InputError(f"TEXT must hold {tokenizer.mask_token} where a token is asked for, got {text[:60]!r}.")
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    longest = loaded.recipe.data.length
    if ids.shape[1] > longest:
        raise InputError(f"TEXT must be {longest} tokens at most, as the run's rows, got {ids.shape[1]}. Shorten it.")
    mask = build_mask((ids == tokenizer.mask_token_id).to(loaded.device))
    batch: dict[str, Any] = {"input_ids": ids.to(loaded.device)}
    batch |= {"segment_starts": np.array([0]), "segment_lengths": np.array([ids.shape[1]])}
    with torch.no_grad():
        probabilities, tokens = model.likeliest(batch, mask, min(top, model.vocabulary.size))
    return [
        [{"token": tokenizer.decode([token]), "probability": share} for share, token in zip(*rows, strict=True)]
        for rows in zip(probabilities.tolist(), tokens.tolist(), strict=True)
    ]
