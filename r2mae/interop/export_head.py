"""Heads of fine-tuned runs for models of transformers that have modeling files of their own.

Such a model has an encoder `backbone` and a `head`, with the names of parameters that `Classifier` has.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.interop.exports import largest_difference
from r2mae.interop.quiet import quiet_transformers
from r2mae.models.classifier import OrderedLogits

_PROBLEMS = {"multi_label": "multi_label_classification", "regression": "regression"}


def head_options(loaded: Any) -> dict[str, Any]:
    """Labels, problem type and shape of the head, as arguments of a configuration.

    Raises: InputError for ordered classes.
    """
    if isinstance(loaded.model.head[-1], OrderedLogits):
        raise InputError(
            "RUN must not be of ordered classes to be exported to transformers, whose "
            "models have no such head, got a run with one. Use --to onnx or torch_export."
        )
    names, tune = loaded.manifest["class_names"], loaded.recipe.tune
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": _PROBLEMS.get(str(tune.target), "single_label_classification"),
        "head_hidden": tune.hidden,
        "head_dropout": tune.dropout,
    }


def write_classifier(
    loaded: Any, theirs: Any, folder: Path, batch: Any, inputs: tuple[Tensor, ...]
) -> float:
    """Write a model of transformers with a run's weights; the largest difference of logits.

    theirs: a model with the run's shape. batch: samples as the run's `Classifier` takes
        them. inputs: the same samples as theirs takes them.
    A regression's last layer predicts in the units of its targets.

    Raises: InputError when the logits of the loaded model differ.
    """
    model, target = loaded.model.eval(), loaded.manifest.get("target")
    unit, shift = (1.0, 0.0) if target is None else (target["spread"], target["mean"])
    state = model.state_dict()
    last = f"head.{len(model.head) - 1}"
    state[f"{last}.weight"] = state[f"{last}.weight"] * unit
    state[f"{last}.bias"] = state[f"{last}.bias"] * unit + shift
    theirs.load_state_dict(state)
    with quiet_transformers():
        theirs.save_pretrained(folder)
        reloaded = type(theirs).from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(batch) * unit + shift
        return largest_difference(reloaded(*inputs).logits, expected)
