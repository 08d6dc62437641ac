"""The formats of `r2mae export`; those of every modality are ONNX and torch.export."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2mae.errors import InputError


@dataclass(frozen=True)
class Export:
    """`r2mae export RUN DIR --to NAME`.

    Each takes a `LoadedRun`.
    write: fills an empty folder; returns the largest difference between the run's outputs
        and those of the model that is loaded from it.
    load_with: a few lines of Python that load it, with FOLDER where its path goes.
    library: as the Hugging Face hub names it.
    tasks: of the hub, for a pretraining run and for a fine-tuned one whose target has no
        `hub_task`; "" for none.
    """

    write: Callable[[Any, Path], float]
    load_with: Callable[[Any], str]
    library: str
    tasks: tuple[str, str] = ("feature-extraction", "")


def _write_onnx(loaded: Any, folder: Path) -> float:
    from r2mae.interop.export_tensors import export_onnx

    return export_onnx(loaded, folder)


def _write_program(loaded: Any, folder: Path) -> float:
    from r2mae.interop.export_tensors import export_program

    return export_program(loaded, folder)


def _load_onnx(loaded: Any) -> str:
    names = [given.name for given in loaded.wing.inference(loaded).inputs]
    arrays = ", ".join(f'"{name}": {name}' for name in names)
    return (
        'import onnxruntime\n\nsession = onnxruntime.InferenceSession("FOLDER/model.onnx")\n'
        f"features = session.run(None, {{{arrays}}})[0]  # see inputs.json"
    )


def _load_program(loaded: Any) -> str:
    names = ", ".join(given.name for given in loaded.wing.inference(loaded).inputs)
    return (
        'import torch\n\nmodel = torch.export.load("FOLDER/model.pt2").module()\n'
        f"features = model({names})[0]  # see inputs.json"
    )


# Of every wing.
TENSOR_EXPORTS = {
    "onnx": Export(_write_onnx, _load_onnx, "onnx"),
    "torch_export": Export(_write_program, _load_program, "pytorch"),
}


def largest_difference(outputs: Any, expected: Any) -> float:
    """Of an exported model's features or logits from the run's, both tensors of one shape.

    Raises: InputError above 1e-5 of the largest value.
    """
    difference = float((outputs - expected).abs().max())
    if not difference <= 1e-5 * max(1.0, float(expected.abs().max())):
        raise InputError(
            "the exported model must give the run's outputs, got a difference of "
            f"{difference:.1e}. Use --to onnx instead."
        )
    return difference
