"""Initial weights from another run, `model.init_from`."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.training.checkpoint import MODEL, load_tensors, read_manifest
from r2mae.training.run_folder import is_here, open_run


def is_run(source: str | None) -> bool:
    """Whether a path is a run folder or one of its checkpoints."""
    return source is not None and (
        (Path(source) / "checkpoints").is_dir()
        or (Path(source) / "manifest.json").is_file()
    )


def _is_local(source: str) -> bool:
    """Whether a source must be a path, as it cannot be a hub id."""
    return (
        source.startswith(("runs/", "/", ".", "~"))
        or source.count("/") > 1
        or Path(source).exists()
    )


def is_awaited(source: str | None) -> bool:
    """Whether a source is a run that is not trained yet."""
    return source is not None and _is_local(source) and not is_here(source)


def find_checkpoint(source: str) -> Any:
    """The last checkpoint of a run to start from. Raises: InputError if there is none."""
    if (Path(source) / "manifest.json").is_file():
        return Path(source)
    try:
        checkpoint = open_run(source).pointer("last")
    except InputError as error:
        raise InputError(f"model.init_from: {error}") from None
    if checkpoint is None:
        raise InputError(
            f"model.init_from must hold a checkpoint, got none in {source!r}. Train it first."
        )
    return checkpoint


def run_weights(source: str) -> dict[str, Tensor]:
    """Tensors of a run's last checkpoint by parameter name, without the prefix of fine-tuned models."""
    place = find_checkpoint(source)
    tensors = load_tensors(place, MODEL, read_manifest(place))
    return {
        name.removeprefix("model.").removeprefix("backbone."): tensor
        for name, tensor in tensors.items()
    }


def init_from_run(model: nn.Module, source: str | None) -> nn.Module:
    """Load all weights of a model from a run; source None leaves it unchanged.

    The run may have further weights, such as a decoder.

    Raises: InputError for missing weights or other shapes.
    """
    if source is None:
        return model
    weights, own = run_weights(source), model.state_dict()
    for name, tensor in own.items():
        saved = weights.get(name)
        if saved is None or saved.shape != tensor.shape:
            got = "nothing" if saved is None else str(list(saved.shape))
            raise InputError(
                f"model.init_from {source!r} must fit the recipe's model: {name} must be {list(tensor.shape)}, "
                f"got {got}. Set the keys of model to those of the run."
            )
    model.load_state_dict({name: weights[name] for name in own})
    return model
