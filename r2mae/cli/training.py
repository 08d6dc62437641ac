"""One run of any task, started from the command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2mae.schema.recipe import AnyRecipe


def train_run(
    recipe: AnyRecipe,
    path: Path,
    arguments: argparse.Namespace,
    *,
    fresh: bool,
    alone: bool,
    callbacks: Sequence[Any] = (),
) -> dict[str, Any]:
    """`recipe.train.train_run` with the options of a command; its traceback goes to the folder's log file."""
    from r2mae.recipe.train import train_run as train

    return train(
        recipe,
        path,
        source=str(arguments.recipe),
        fresh=fresh,
        trace=getattr(arguments, "trace", False),
        alone=alone,
        callbacks=callbacks,
        on_start=lambda folder: setattr(arguments, "log_file", folder.stderr),
    )


def print_status(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)
