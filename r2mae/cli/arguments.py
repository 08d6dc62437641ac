"""Options shared by several commands, and a parser that reports errors in one line."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from r2mae.options import count, layer

if TYPE_CHECKING:
    from r2mae.wing import Wing


class Parser(ArgumentParser):
    """ArgumentParser that prints an error as one line, without the usage."""

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
        help="override a value of the recipe, such as seed=1; repeatable",
    )


def add_recipe(parser: ArgumentParser) -> None:
    """`RECIPE` and `--set`."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="a recipe file, or a name that r2mae recipe list shows",
    )
    add_set(parser)


def add_training(parser: ArgumentParser) -> None:
    """`--name` and `--fresh`, of commands that write run folders."""
    parser.add_argument(
        "--name",
        help="name of the run folder in runs/; default: the recipe's file name",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="rename an existing run folder and start over",
    )


def add_run(parser: ArgumentParser) -> None:
    """`RUN`, `--checkpoint` and `--weights`."""
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, such as runs/digits_demo"
    )
    parser.add_argument(
        "--checkpoint", default="last", help="last (default), best or step_N"
    )
    parser.add_argument(
        "--weights",
        choices=("trained", "ema"),
        default="trained",
        help="trained (default), or the moving average that training.ema keeps",
    )


def add_inference(parser: ArgumentParser) -> None:
    """`--workers` and `--precision`: how a command reads samples and computes features."""
    workers = (
        "processes that read samples; 0 reads in this one; default: hardware.workers of "
        "the run, at most the cores here"
    )
    parser.add_argument("--workers", type=count, metavar="N", help=workers)
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        help="precision of the encoder; default: hardware.precision of the run on a GPU, 32-true on a CPU",
    )


def add_read_out(parser: ArgumentParser) -> None:
    """`--layer` and `--pool`: which features of the encoder are read."""
    text = (
        "layer of the encoder, from 1, or from the end, -1; default last. auto: the "
        "best on held-out labelled samples of the training split"
    )
    parser.add_argument(
        "--layer", type=layer, default="last", metavar="N|last|auto", help=text
    )
    pool = (
        "features of a sample: the mean of its tokens, its class token (cls), or all "
        "tokens concatenated (concat; for an MLP of cells with model.components, its "
        "features with these components appended); default: what the model was trained "
        "with"
    )
    parser.add_argument("--pool", choices=("mean", "cls", "concat"), help=pool)


def wing_of_run(argv: Sequence[str]) -> "Wing | None":
    """The wing of the first run folder in argv, so that `--help` shows what that run can do.

    None if there is none or its recipe is invalid; the command itself reports that.
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
