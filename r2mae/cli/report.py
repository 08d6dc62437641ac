"""`r2mae report`: one HTML page about one or several runs."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from r2mae.errors import InputError
from r2mae.json_text import json_text


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN...`, `--output`, `--no-pictures` and `--theory`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders, such as runs/digits_demo"
    )
    output = "default: report.html in RUN, or in this folder for several runs"
    parser.add_argument("-o", "--output", metavar="FILE.html", help=output)
    parser.add_argument(
        "--no-pictures",
        action="store_true",
        help="leave out pictures of held-out samples, which need the model and the data",
    )
    parser.add_argument(
        "--theory",
        action="store_true",
        help="predict the held-out losses over mask ratios from the training data, and "
        "store them in RUN; later reports show them without this option",
    )


def run(arguments: Namespace) -> None:
    """Write the page. Raises: InputError for folders that are not runs."""
    from r2mae.report.page import write_report
    from r2mae.report.record import read_records
    from r2mae.report.theory import write_theory

    records = read_records(arguments.runs)
    folder = Path(arguments.runs[0]) if len(records) == 1 else Path()
    path = Path(arguments.output or folder / "report.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output must end in .html, got {str(path)!r}.")
    if arguments.theory:
        write_theory(records)
    write_report(records, path, with_pictures=not arguments.no_pictures)
    if arguments.json:
        print(json_text({"report": str(path), "runs": arguments.runs}))
    else:
        print(f"report: {path}")
