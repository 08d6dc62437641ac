"""`r2mae export`: a run's model as a folder that another library reads."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from r2mae.cli.arguments import add_run, wing_of_run
from r2mae.data.atomic import check_free
from r2mae.errors import InputError


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN` and `DIR`."""
    add_run(parser)
    parser.add_argument(
        "folder", metavar="DIR", help="folder to write; must be absent or empty"
    )


def add_run_arguments(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """`--to`, with the libraries that the named run can be exported to."""
    wing = wing_of_run(argv)
    targets = "such as transformers"
    if wing and wing.exports:
        targets = f"one of {', '.join(wing.exports)}"
    parser.add_argument("--to", required=True, metavar="LIBRARY", help=targets)


def run(arguments: Namespace) -> None:
    """Write the folder, and print how to load it."""
    folder = Path(arguments.folder)
    check_free(folder)  # before anything is loaded
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    export = loaded.wing.exports.get(arguments.to)
    if export is None:
        targets = ", ".join(loaded.wing.exports)
        nothing = "nothing, since other libraries lack its models"
        raise InputError(
            f"--to must be {targets or nothing} for runs on {loaded.recipe.modality}, got {arguments.to}."
        )
    difference = export.write(loaded, folder)
    result = {
        "output": str(folder),
        "to": arguments.to,
        "checkpoint_step": loaded.manifest["step"],
        "weights": arguments.weights,
        "largest_difference": difference,
        "load_with": export.load_with(loaded).format(folder),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{folder}: step {result['checkpoint_step']}; outputs differ by {difference:.1e} at most"
    )
    print(f"  {result['load_with']}")
