"""Initial weights, `model.init_from`: read from another run, and described."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from r2mae.data.hub import is_local
from r2mae.errors import InputError
from r2mae.models.tuning import is_of_lora, merge_lora, plain_name
from r2mae.training.checkpoint import MODEL, load_tensors, read_manifest
from r2mae.training.run_folder import is_here, open_run


def is_run(source: str | None) -> bool:
    """Whether a path is a run folder or one of its checkpoints."""
    return source is not None and (
        (Path(source) / "checkpoints").is_dir()
        or (Path(source) / "manifest.json").is_file()
    )


def is_awaited(source: str | None) -> bool:
    """Whether a source is a run that is not trained yet."""
    return source is not None and is_local(source) and not is_here(source)


def find_checkpoint(source: str, key: str = "model.init_from") -> Any:
    """The last checkpoint of a run that a recipe's key names.

    Raises: InputError if there is none.
    """
    if (Path(source) / "manifest.json").is_file():
        return Path(source)
    try:
        checkpoint = open_run(source).pointer("last")
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    if checkpoint is None:
        raise InputError(
            f"{key} must hold a checkpoint, got none in {source!r}. Train it first."
        )
    return checkpoint


def run_weights(source: str) -> dict[str, Tensor]:
    """Tensors of a run's last checkpoint by parameter name.

    Those of a fine-tuned model without their prefix, and with LoRA merged.
    """
    place = find_checkpoint(source)
    manifest = read_manifest(place)
    tensors = load_tensors(place, MODEL, manifest)
    tensors = merge_lora(tensors, manifest["recipe"].get("tune", {}))
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
    record_start(model, source, own, weights.keys() - own.keys())
    return model


@dataclass(frozen=True)
class _Start:
    """Names of the weights that a source has: those loaded, and those left unused.

    note: what else differs from the source; empty for nothing.
    """

    source: str
    loaded: frozenset[str]
    unused: frozenset[str]
    note: str


_RECORD = "_started_from"  # attribute of a model
_MOST_NAMES = 8  # in one list of a message


def record_start(
    model: nn.Module,
    source: str,
    loaded: Iterable[str],
    unused: Iterable[str],
    note: str = "",
) -> None:
    """Note on a model which weights of `model.init_from` were loaded, and which were not.

    loaded, unused: names of tensors, those loaded as the model names them.
    note: what else differs from the source.
    """
    start = _Start(source, frozenset(loaded), frozenset(unused), note)
    setattr(model, _RECORD, start)


def describe_start(model: nn.Module) -> str | None:
    """Which weights were loaded, unused and new; None for a model from random weights."""
    for path, part in model.named_modules():
        start = getattr(part, _RECORD, None)
        if start is None:
            continue
        inside = f"{path}." if path else ""  # the backbone of a classifier
        own = {
            plain_name(name).removeprefix(inside)
            for name in model.state_dict()
            if not is_of_lora(name)
        }
        own = {name for name in own if not name.startswith("pixel_")}
        new = own - start.loaded
        parts = (
            f"loads {_describe_names(start.loaded, own)}",
            f"leaves {_describe_names(start.unused, start.unused | start.loaded)}",
            f"new: {_describe_names(new, own)}",
            start.note,
        )
        return f"{start.source}: {'; '.join(filter(None, parts))}"
    return None


def _describe_names(names: Collection[str], every: Collection[str]) -> str:
    """Names of tensors; a complete module is one entry, with its number of tensors."""
    if not names:
        return "nothing"
    lines = [
        name if count == 1 else f"{name} ({count} tensors)"
        for name, count in _collapse(set(names), set(every), "")
    ]
    rest = len(lines) - _MOST_NAMES
    return ", ".join(lines[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _collapse(names: set[str], every: set[str], prefix: str) -> list[tuple[str, int]]:
    """(module or tensor, number of its tensors), which together are all of names."""
    collapsed: list[tuple[str, int]] = []
    heads = {name[len(prefix) :].split(".")[0] for name in names}
    for head in sorted(heads):
        module = f"{prefix}{head}"
        inside = {name for name in every if name.startswith(f"{module}.")}
        if module in names:
            collapsed.append((module, 1))
        elif inside <= names and len(inside) > 1:
            collapsed.append((module, len(inside)))
        else:
            part = {name for name in names if name.startswith(f"{module}.")}
            collapsed += _collapse(part, inside, f"{module}.")
    return collapsed
