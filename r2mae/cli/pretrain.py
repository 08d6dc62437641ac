"""`r2mae pretrain`: train a recipe in a run folder until it ends or is stopped."""

import argparse
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_recipe, add_training
from r2mae.cli.training import train_run
from r2mae.json_text import json_text
from r2mae.options import positive, run_path
from r2mae.recipe.load import load_recipe
from r2mae.schema.launch import read_launch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE`, `--set`, `--name`, `--fresh`, `--trace` and `--profile`."""
    add_recipe(parser)
    add_training(parser)
    parser.add_argument(
        "--trace",
        action="store_true",
        help="write trace.jsonl: order, masks and loss of every step",
    )
    parser.add_argument(
        "--profile",
        type=positive,
        metavar="STEPS",
        help="profile some early steps: profile.txt and a trace in the run folder",
    )


def run(arguments: argparse.Namespace) -> None:
    """Start or continue a run."""
    result = pretrain(arguments)
    if arguments.json and read_launch().is_first:
        print(json_text(result))


def pretrain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train to the end; returns {"run", "step", "seconds", metrics}.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    recipe = load_recipe(arguments.recipe, arguments.set, task="pretrain")
    path = run_path(arguments.name or Path(arguments.recipe).stem)
    callbacks = []
    if getattr(arguments, "profile", None) is not None:
        from r2mae.training.profile import Profile

        callbacks.append(Profile(path, arguments.profile))
    alone = len(getattr(arguments, "recipes", [recipe])) == 1  # of `demo`
    return train_run(
        recipe,
        path,
        arguments,
        fresh=arguments.fresh,
        alone=alone,
        callbacks=callbacks,
    )
