"""Export a run's inference as ONNX or as a program of torch.export.

Shapes: B samples, D features, C classes.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError, first_line
from r2mae.interop.inference import Inference, InferenceModule
from r2mae.models.classifier import WordClassifier

ONNX_FILE, PROGRAM_FILE, INPUTS_FILE = "model.onnx", "model.pt2", "inputs.json"
_MOST_BYTES = 1_500_000_000  # of weights inside the .onnx file; protobuf ends at 2 GB
Outputs = tuple[Tensor, ...]
Run = Callable[[Outputs], Outputs]


def export_onnx(loaded: Any, folder: Path) -> float:
    """Write model.onnx and inputs.json, and compare with `embed` in onnxruntime.

    Returns: the largest difference of outputs on random samples.

    Raises: InputError for an operator that ONNX lacks, or other outputs than the run's.
    """
    import onnxruntime

    def write(module: InferenceModule, program: Any) -> Run:
        names = [given.name for given in module.inference.inputs]
        with _exporting("ONNX"):
            written = torch.onnx.export(
                program,
                input_names=names,
                output_names=list(module.outputs),
                dynamo=True,
                verbose=False,
            )
        assert written is not None
        num_bytes = sum(p.numel() * p.element_size() for p in module.parameters())
        file = folder / ONNX_FILE
        written.save(file, external_data=num_bytes > _MOST_BYTES)
        session = onnxruntime.InferenceSession(str(file))

        def run(arguments: Outputs) -> Outputs:
            arrays = [tensor.numpy() for tensor in arguments]
            results = session.run(None, dict(zip(names, arrays, strict=True)))
            return tuple(torch.from_numpy(array) for array in results)

        return run

    return _export(loaded, folder, write, tolerance=1e-4)


def export_program(loaded: Any, folder: Path) -> float:
    """Write model.pt2 and inputs.json, and compare with `embed`; otherwise as `export_onnx`."""

    def write(_: InferenceModule, program: Any) -> Run:
        file = folder / PROGRAM_FILE
        torch.export.save(program, file)
        reloaded = torch.export.load(file).module()
        return lambda arguments: reloaded(*arguments)

    return _export(loaded, folder, write, tolerance=1e-6)


def _export(
    loaded: Any,
    folder: Path,
    write: Callable[[InferenceModule, Any], Run],
    tolerance: float,
) -> float:
    model = loaded.model.cpu().eval()
    if isinstance(model, WordClassifier):
        raise InputError(
            f"tune.target must not be {loaded.recipe.tune.target} for this export, which "
            "has one output for each sample. Use --to transformers."
        )
    inference: Inference = loaded.wing.inference(loaded)
    module = InferenceModule(model, inference, loaded.manifest.get("target")).eval()
    arguments = inference.arguments(inference.batch)
    with torch.no_grad():
        run = write(module, _trace(module, arguments))
        if inference.save_beside is not None:
            inference.save_beside(folder)
        is_number = module.is_regression
        names = [] if is_number else loaded.manifest.get("class_names", [])
        description = describe(module, arguments) | {"classes": list(names)}
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (folder / INPUTS_FILE).write_text(f"{text}\n")
        # One sample too: a traced batch size must not have become a constant.
        first = tuple(tensor[:1] for tensor in arguments)
        parts = [(run(arguments), slice(None)), (run(first), slice(1))]
        expected = module.expected(model)
        return max(
            _difference(outputs, expected, rows, tolerance) for outputs, rows in parts
        )


def _trace(module: InferenceModule, arguments: Outputs) -> Any:
    """The program of torch.export, with the named axes of the inputs dynamic."""
    axes: dict[str, Any] = {}

    def dimension(axis: str) -> Any:
        """Of a name, or of a name and a number: "columns + 2"."""
        name, _, more = axis.partition(" + ")
        varying = axes.setdefault(name, torch.export.Dim(name))
        return varying + int(more) if more else varying

    shapes = []
    for given in module.inference.inputs:
        names = {i: axis for i, axis in enumerate(given.shape) if isinstance(axis, str)}
        shapes.append({i: dimension(axis) for i, axis in names.items()})
    with _exporting("torch.export"):
        return torch.export.export(
            module, arguments, dynamic_shapes={"tensors": tuple(shapes)}
        )


@contextmanager
def _exporting(target: str) -> Iterator[None]:
    """Plain attention instead of fused kernels of torch; errors in one line."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise InputError(
            f"RUN must be of a model that {target} can express, got: "
            f"{first_line(error)}. Use it from Python, with r2mae.load."
        ) from None
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def describe(module: InferenceModule, arguments: Outputs) -> dict[str, Any]:
    """JSON of the inputs and outputs: names, dtypes, shapes and meanings."""
    widths = {"D": module.encoder.width}
    if module.head is not None:
        widths["C"] = module.head[-1].out_features
    inputs = [
        {
            "name": given.name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(given.shape),
            "meaning": given.meaning,
        }
        for given, tensor in zip(module.inference.inputs, arguments, strict=True)
    ]
    outputs = [
        {"name": name, "dtype": "float32", "shape": ["batch", widths[axis]]}
        | {"meaning": meaning}
        for name, (meaning, axis) in module.outputs.items()
    ]
    return {"inputs": inputs, "outputs": outputs}


def _difference(
    outputs: Outputs, expected: Outputs, rows: slice, tolerance: float
) -> float:
    """The largest difference of outputs. Raises: InputError above the tolerance."""
    differences = []
    for ours, theirs in zip(expected, outputs, strict=True):
        difference = float((ours[rows] - theirs).abs().max())
        differences.append(difference)
        # Relative to the largest value, but for small ones.
        if not difference <= tolerance * max(1.0, float(ours.abs().max())):
            raise InputError(
                "the exported model must compute the run's outputs, got a difference "
                f"of {difference:.1e}. Use it from Python, with r2mae.load."
            )
    return max(differences)
