"""`r2mae fill`: predict the [MASK] tokens of a text."""

from argparse import ArgumentParser, Namespace
from typing import Any

from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun
from r2mae.options import positive


def add_arguments(parser: ArgumentParser) -> None:
    """`TEXT` and `--top`."""
    parser.add_argument(
        "text",
        metavar="TEXT",
        help='text with [MASK], such as "the [MASK] sat on the mat"',
    )
    parser.add_argument(
        "--top",
        type=positive,
        default=5,
        metavar="N",
        help="predictions for each [MASK]; default 5",
    )


def run(loaded: LoadedRun, arguments: Namespace) -> None:
    """Print the most probable tokens for each [MASK]."""
    places = fill(loaded, arguments.text, arguments.top)
    if arguments.json:
        print(json_text({"text": arguments.text, "places": places}))
        return
    for number, place in enumerate(places, 1):
        tokens = [f"{guess['token']!r} {guess['probability']:.3f}" for guess in place]
        print(f"{number}: {', '.join(tokens)}")


def fill(loaded: LoadedRun, text: str, top: int) -> list[list[dict[str, Any]]]:
    """For each [MASK] of a text, the `top` most probable tokens with their probabilities.

    Raises: InputError for a run that is not a masked language model, or a text without
        [MASK] or too long.
    """
    import numpy as np
    import torch

    from r2mae.data.tokenizer import strip_before_mask
    from r2mae.masking.mask import build_mask
    from r2mae.modalities.language.tokenizer import recipe_tokenizer
    from r2mae.models.masked_language import MaskedLanguageModel

    model = loaded.model
    if not isinstance(model, MaskedLanguageModel):
        raise InputError(
            f"RUN must be a pretraining run on texts, got {loaded.recipe.task} in {loaded.folder.path}."
        )
    tokenizer = strip_before_mask(recipe_tokenizer(loaded.recipe))
    ids = torch.tensor([_encode(tokenizer, text, loaded.recipe.data.length)])
    mask = build_mask((ids == tokenizer.mask_token_id).to(loaded.device))
    batch: dict[str, Any] = {"input_ids": ids.to(loaded.device)}
    batch |= {
        "segment_starts": np.array([0]),
        "segment_lengths": np.array([ids.shape[1]]),
    }
    with torch.no_grad():
        probabilities, tokens = model.likeliest(
            batch, mask, min(top, model.vocabulary.size)
        )
    return [
        _guesses(tokenizer, *place)
        for place in zip(probabilities.tolist(), tokens.tolist(), strict=True)
    ]


def _encode(tokenizer: Any, text: str, longest: int) -> list[int]:
    """The tokens of a text. Raises: InputError without [MASK], or over `longest` tokens."""
    if tokenizer.mask_token not in text:
        raise InputError(
            f"TEXT must hold {tokenizer.mask_token} for each token to predict, got {text[:60]!r}."
        )
    ids: list[int] = tokenizer(text)["input_ids"]
    if len(ids) > longest:
        raise InputError(
            f"TEXT must be {longest} tokens at most, the run's data.length, got {len(ids)}. Shorten it."
        )
    return ids


def _guesses(
    tokenizer: Any, probabilities: list[float], tokens: list[int]
) -> list[dict[str, Any]]:
    return [
        {"token": tokenizer.decode([token]), "probability": probability}
        for probability, token in zip(probabilities, tokens, strict=True)
    ]
