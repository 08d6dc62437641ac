"""The option of a task that draws its result."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from r2mae.errors import InputError


def add_picture(task: str) -> Callable[[ArgumentParser], None]:
    """The option `--<task>-picture`, as a function that declares it."""

    def add_arguments(parser: ArgumentParser) -> None:
        text = "also draw the result"
        parser.add_argument(f"--{task}-picture", metavar="FILE.png", help=text)

    return add_arguments


def picture_path(arguments: Namespace, task: str) -> Path | None:
    """Where to draw; None where the option is not used.

    Raises: InputError for another suffix.
    """
    path: str | None = getattr(arguments, f"{task}_picture")
    if path is not None and Path(path).suffix != ".png":
        raise InputError(f"--{task}-picture must end in .png, got {path!r}.")
    return None if path is None else Path(path)
