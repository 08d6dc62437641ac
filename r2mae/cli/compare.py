"""`r2mae compare`: final numbers of several runs as a table."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from r2mae.json_text import json_text


def add_arguments(parser: ArgumentParser) -> None:
    """`RUN...`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders, such as runs/digits_demo"
    )


def run(arguments: Namespace) -> None:
    """Print tables or JSON. Raises: InputError for folders that are not runs."""
    from r2mae.report.comparison import to_json
    from r2mae.report.record import read_records

    result = to_json(read_records(arguments.runs))
    if arguments.json:
        print(json_text(result))
        return
    runs = result["runs"]
    print_table(["", *(each["name"] for each in runs)], _rows(runs))
    names = [each["name"] for each in runs]
    if result["differing_keys"]:
        keys = result["differing_keys"].items()
        print()
        print_table(["recipe key", *names], ([key, *values] for key, values in keys))
    if result["paired_differences"]:
        print("\nfinal values minus those of the first run's recipe, paired by seed")
        rows = [_difference_row(each) for each in result["paired_differences"]]
        print_table(["measurement", "runs", "minus", "difference"], rows)
    if result["not_compared"]:
        print(f"\n{result['not_compared']}")


def _rows(runs: list[dict[str, Any]]) -> Iterable[list[str]]:
    """A row for each fact and number, a column for each run."""
    for key in ("law", "seed", "status", "step", "steps"):
        yield [key, *("-" if run[key] is None else str(run[key]) for run in runs)]
    for title in dict.fromkeys(title for run in runs for title in run["numbers"]):
        values = [run["numbers"].get(title) for run in runs]
        yield [title, *("-" if value is None else f"{value:.5g}" for value in values)]


def _difference_row(row: dict[str, Any]) -> list[str]:
    text = f"{row['difference']:+.4f}"
    if row["half_width"] is not None:
        text += f" ± {row['half_width']:.4f}"
    return [row["metric"], ", ".join(row["runs"]), ", ".join(row["reference"]), text]


def print_table(header: list[str], rows: Iterable[list[str]]) -> None:
    """Aligned columns."""
    table = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = zip(line, widths, strict=True)
        print("  ".join(f"{text:<{width}}" for text, width in cells).rstrip())
