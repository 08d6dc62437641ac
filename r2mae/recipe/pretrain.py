"""`r2mae.pretrain`: what `r2mae pretrain` does, from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.options import run_path
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.run import load_run
from r2mae.recipe.shipped import find_recipe
from r2mae.recipe.train import train_run, wait_for_all_ranks
from r2mae.schema.document import load_document
from r2mae.schema.launch import check_launch, read_launch
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.callback import Callback


def pretrain(
    recipe: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    fresh: bool = False,
    trace: bool = False,
    callbacks: Sequence[Callback] = (),
    **overrides: Any,
) -> LoadedRun:
    """Pretrain in runs/<name>, continuing a run that was stopped, and load its last checkpoint.

    recipe: a file, a name that `r2mae recipe list` shows, or the recipe itself as a mapping.
    name: of the run folder; default: the recipe's file name.
    fresh: an earlier run of that name is renamed and training starts over.
    trace: write trace.jsonl.
    callbacks: see `Callback`.
    overrides: keys of the recipe; a mapping is merged into its section: `seed=1, schedule={"steps": 100}`.

    Several devices need a launcher such as torchrun, or `r2mae pretrain`.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal, with a checkpoint saved.
    """
    document, source = _read(recipe)
    for key, value in overrides.items():
        section = document.get(key)
        is_merged = isinstance(section, dict) and isinstance(value, Mapping)
        document[key] = section | value if is_merged else value
    parsed = parse_recipe(document, source)
    if parsed.task != "pretrain":
        raise InputError(f"{source}: task must be pretrain here, got {parsed.task}.")
    _check_devices(parsed)
    _check_callbacks(callbacks)
    path = run_path(_default_name(recipe) if name is None else name)
    train_run(
        parsed,
        path,
        source=source,
        fresh=fresh,
        trace=trace,
        alone=True,
        callbacks=callbacks,
    )
    wait_for_all_ranks()  # until the first has written the last checkpoint
    return load_run(str(path))


def _read(recipe: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """(the document, what messages call it)."""
    if isinstance(recipe, Mapping):
        return dict(recipe), "recipe"
    return load_document(find_recipe(str(recipe))), str(recipe)


def _default_name(recipe: str | Path | Mapping[str, Any]) -> str:
    if isinstance(recipe, Mapping):
        raise InputError("name must be given for a recipe that is a mapping, got none.")
    return Path(recipe).stem


def _check_devices(recipe: AnyRecipe) -> None:
    launch, devices = read_launch(), recipe.hardware.devices
    check_launch(recipe.hardware, launch)
    if launch.launcher == "none" and devices > 1:
        remedy = "Start this script with torchrun, or use r2mae pretrain."
        raise InputError(
            f"hardware.devices must be 1 without a launcher, got {devices}. {remedy}"
        )


def _check_callbacks(callbacks: Any) -> None:
    items = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    for item in items:
        if items is not callbacks or not isinstance(item, Callback):
            got = item.__name__ if isinstance(item, type) else type(item).__name__
            raise InputError(
                f"callbacks must be a list of objects of r2mae.Callback, got {got}."
            )
