"""`r2mae export`: a run's model as a folder that another library reads."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from r2mae.cli.arguments import add_run, wing_of_run
from r2mae.data.atomic import check_free
from r2mae.json_text import json_text


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN`, `DIR` and `--push`."""
    add_run(parser)
    parser.add_argument(
        "folder", metavar="DIR", help="folder to write; must be absent or empty"
    )
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="then upload the folder to this repository of the Hugging Face hub",
    )


def add_run_arguments(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """`--to`, with the formats that the named run can be exported to."""
    wing = wing_of_run(argv)
    targets = "such as transformers"
    if wing:
        targets = f"one of {', '.join(wing.export_targets)}"
    parser.add_argument("--to", required=True, metavar="FORMAT", help=targets)


def run(arguments: Namespace) -> None:
    """Write the folder, upload it with `--push`, and print how to load it."""
    folder = Path(arguments.folder)
    check_free(folder)  # before anything is loaded
    from r2mae.recipe.export import check_hub_name, export_run, find_export, push
    from r2mae.recipe.run import load_run

    check_hub_name(arguments.push)
    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    difference = export_run(loaded, arguments.to, folder)
    code = find_export(loaded, arguments.to).load_with(loaded)
    result = {
        "output": str(folder),
        "to": arguments.to,
        "checkpoint_step": loaded.manifest["step"],
        "weights": arguments.weights,
        "largest_difference": difference,
        "load_with": code.replace("FOLDER", str(folder)),
    }
    if arguments.push is not None:
        result["pushed_to"] = push(folder, arguments.push)
    if arguments.json:
        print(json_text(result))
        return
    print(
        f"{folder}: step {result['checkpoint_step']}; outputs differ by {difference:.1e} at most"
    )
    if arguments.push is not None:
        print(f"  uploaded to {result['pushed_to']}")
    for line in filter(None, result["load_with"].splitlines()):
        print(f"  {line}")
