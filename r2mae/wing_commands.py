"""What a modality may add to the command line: tasks of `evaluate`, subcommands, builds and stores of `data`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError

if TYPE_CHECKING:  # recipes are validated without importing torch
    from r2mae.loaded_run import LoadedRun
    from r2mae.schema.recipe import AnyRecipe

Result = dict[str, Any]  # JSON-serializable, as `--json` prints it


@dataclass(frozen=True)
class Task:
    """`r2mae evaluate RUN --task NAME`.

    run: scores a run on a recipe's data (the run's own, unless `--data` names another) and returns the result.
    check: raises InputError for a recipe or arguments that it cannot score, before anything
        is read; in a study and in `r2mae demo` before anything trains.
    show: prints a result as text. conclude: a sentence on it for `r2mae demo`, or "".
    reads_features: whether it compares features, so that --layer and --pool apply.
    reads_splits: whether it reads the training and test split of the run's data.
    """

    help: str
    run: Callable[[LoadedRun, AnyRecipe, Namespace], Result]
    show: Callable[[Result], None]
    add_arguments: Callable[[ArgumentParser], None] = lambda _: None
    conclude: Callable[[Result], str] = lambda _: ""
    reads_features: bool = False
    reads_splits: bool = True
    check: Callable[[AnyRecipe, Namespace], None] = lambda *_: None


def require_pretraining(recipe: AnyRecipe, task: str) -> None:
    """Raise InputError for a recipe of fine-tuning, where nothing is masked."""
    if recipe.task != "pretrain":
        raise InputError(
            f"task {task} must have a pretraining recipe, got one that is to "
            f"{recipe.task}. Use another recipe or run, or leave out --data."
        )


@dataclass(frozen=True)
class Subcommand:
    """`r2mae NAME RUN ...`. check: looks at the arguments before the run is loaded."""

    help: str
    run: Callable[[LoadedRun, Namespace], None]
    add_arguments: Callable[[ArgumentParser], None] = lambda _: None
    check: Callable[[Namespace], None] = lambda _: None


@dataclass(frozen=True)
class Build:
    """`r2mae data build KIND ...`: converts files to a memory-mapped store. run returns its path."""

    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], Path]


@dataclass(frozen=True)
class Store:
    """A kind of store, as `r2mae data inspect` describes it: a report, and how it is printed."""

    inspect: Callable[[Path], Result]
    show: Callable[[Result], None]
