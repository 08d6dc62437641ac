"""The option of a task that draws its result."""

from argparse import ArgumentParser
from collections.abc import Callable

from r2mae.options import png_path


def add_picture(task: str) -> Callable[[ArgumentParser], None]:
    """The option `--<task>-picture`, as a function that declares it."""

    def add_arguments(parser: ArgumentParser) -> None:
        text = "also draw the result"
        option = f"--{task}-picture"
        parser.add_argument(option, type=png_path, metavar="FILE.png", help=text)

    return add_arguments
