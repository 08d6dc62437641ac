"""Options that several commands have, and how a command line without sense is refused."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from r2mae.wing import Wing


class Parser(ArgumentParser):
    """argparse, with mistakes as one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def add_json(parser: ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout"
    )


def add_set(parser: ArgumentParser) -> None:
    """`--set`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override, e.g. seed=1",
    )


def add_recipe(parser: ArgumentParser) -> None:
    """`RECIPE` and `--set`."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="a recipe file, or the name of one that r2mae brings",
    )
    add_set(parser)


def add_training(parser: ArgumentParser) -> None:
    """`--name` and `--fresh`, of commands that write run folders."""
    parser.add_argument(
        "--name", help="of the run folder below runs/; default: the recipe's file name"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="set an earlier run aside and start over"
    )


def add_run(parser: ArgumentParser) -> None:
    """`RUN`, `--checkpoint` and `--weights`."""
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, such as runs/digits_demo"
    )
    parser.add_argument(
        "--checkpoint", default="last", help="last (default), best or step_<n>"
    )
    parser.add_argument(
        "--weights",
        choices=("trained", "ema"),
        default="trained",
        help="trained (default), or the moving average that training.ema keeps",
    )


def wing_of_run(argv: Sequence[str]) -> "Wing | None":
    """The wing of the first run folder in argv, so that `--help` shows what that run can do.

    None where there is none, or its recipe cannot be read: the command itself says so.
    """
    from r2mae.errors import InputError
    from r2mae.modalities import find_wing
    from r2mae.schema.document import load_document

    for argument in argv:
        recipe = Path(argument) / "recipe.yaml"
        if not argument.startswith("-") and recipe.is_file():
            try:
                return find_wing(str(load_document(recipe).get("modality")))
            except InputError:
                return None
    return None
