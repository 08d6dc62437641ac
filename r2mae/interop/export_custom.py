"""Runs as custom models of transformers, which have modeling files of their own.

The model of a fine-tuned run has an encoder `backbone` and a `head`; all names of parameters are the run's.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.interop.exports import largest_difference
from r2mae.interop.quiet import quiet_transformers
from r2mae.schema.target import Target

Inputs = tuple[Tensor, ...]


def head_options(loaded: Any) -> dict[str, Any]:
    """Labels, problem type and shape of the head, as arguments of a configuration.

    Raises: InputError for a target that transformers has no head for.
    """
    names, tune = loaded.manifest["class_names"], loaded.recipe.tune
    check_target(tune.target)
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": tune.target.problem_type,
        "head_hidden": tune.hidden,
        "head_dropout": tune.dropout,
    }


def check_target(target: Target) -> None:
    """Raise InputError for a `tune.target` that transformers has no head for."""
    if target.auto_model is None:
        raise InputError(
            f"tune.target must not be {target} for --to transformers, which has no such "
            "head. Use --to onnx or torch_export."
        )


def scale_and_shift(units: dict[str, float] | None) -> tuple[float, float]:
    """What turns the output of a head into units; (1, 0) where it has none.

    units: {"mean", "spread"} of a regression's targets.
    """
    return (1.0, 0.0) if units is None else (units["spread"], units["mean"])


def write_encoder(
    model: Any, theirs: Any, folder: Path, batch: Any, inputs: Inputs
) -> float:
    """Write a model of transformers with a pretraining run's encoder; the largest difference of features.

    theirs: a model of the encoder's shape. batch: samples as the run's model takes them.
        inputs: the same samples as theirs takes them.

    Raises: InputError when the features of the loaded model differ.
    """
    missing, _ = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not missing  # the masked model has a decoder or a head beside
    reloaded = _reload(theirs, folder)
    with torch.no_grad():
        features = reloaded(*inputs).pooler_output
        return largest_difference(features, model.embed(batch))


def write_classifier(
    loaded: Any, theirs: Any, folder: Path, batch: Any, inputs: Inputs
) -> float:
    """As `write_encoder`, for a fine-tuned run; the largest difference of logits.

    A regression's last layer predicts in the units of its targets.
    """
    model = loaded.model.eval()
    scale, shift = scale_and_shift(loaded.manifest.get("target"))
    state = model.state_dict()
    last = f"head.{len(model.head) - 1}"
    state[f"{last}.weight"] = state[f"{last}.weight"] * scale
    state[f"{last}.bias"] = state[f"{last}.bias"] * scale + shift
    theirs.load_state_dict(state)
    reloaded = _reload(theirs, folder)
    with torch.no_grad():
        expected = model(batch) * scale + shift
        return largest_difference(reloaded(*inputs).logits, expected)


def _reload(theirs: Any, folder: Path) -> Any:
    """Write a model and load it back."""
    with quiet_transformers():
        theirs.save_pretrained(folder)
        return type(theirs).from_pretrained(folder).eval()
