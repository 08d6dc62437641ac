"""`r2mae evaluate --task masked`: hidden tokens of texts that the run has not trained on."""

import argparse
import json
from typing import Any

from r2mae.cli.reconstruct import parse_ratios
from r2mae.cli.show import show
from r2mae.errors import InputError


def masked(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:
    """Score and print."""
    scores = score(loaded, recipe, parse_ratios(arguments.ratios))
    if arguments.json:
        about = {"run": arguments.run, "checkpoint_step": loaded.manifest["step"], "task": "masked"}
        print(json.dumps(about | {"scores": scores}))
        return
    print_scores(scores)


def score(loaded: Any, recipe: Any, ratios: list[float]) -> list[dict[str, Any]]:
    """A row a ratio, on the test split: the card's, or what was held out of training."""
    from r2mae.evaluation.masked import count_tokens, score_masked
    from r2mae.models.language import MaskedLanguageModel
    from r2mae.recipe.modality import open_split, open_training_data

    if not isinstance(loaded.model, MaskedLanguageModel):
        raise InputError(f"--task masked must be asked of a pretraining run on texts, got {loaded.folder.name}.")
    counts = count_tokens(loaded.model, open_training_data(recipe)[0])
    found = score_masked(loaded.model, open_split(recipe, "test"), counts, ratios, progress=show("masked", "rows"))
    return [row.to_dict() for row in found]


def print_scores(scores: list[dict[str, Any]]) -> None:
    """A line a ratio."""
    print("ratio  tokens    accuracy         loss    by frequency alone: accuracy  loss")
    for row in scores:
        half = "" if row["half_width"] is None else f" ± {row['half_width']:.3f}"
        print(
            f"{row['ratio']:5.2f}  {row['tokens']:7,}  {row['accuracy']:.3f}{half:<9} {row['loss']:6.3f}"
            f"    {row['unigram_accuracy']:27.3f}  {row['unigram_loss']:.3f}"
        )
