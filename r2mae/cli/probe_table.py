"""Scores of probes as tables that a person reads."""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]  # of `probe_encoders`


def print_scores(rows: list[Row]) -> None:
    """Print accuracies with intervals and differences, then balanced accuracy and macro F1."""
    draws = max(_pretrained(row)["draws"] for row in rows)
    over = f"test samples and {draws} draws of labels" if draws > 1 else "test samples"
    print(f"test accuracy ± 95 % interval over {over}; differences are paired")
    if any(row.get("hide_in_training") for row in rows):
        print(
            "probes are trained on complete samples and on copies with as much hidden"
        )
    columns = [*rows[0]["scores"], *rows[0]["differences"]]
    _print_table(rows, columns, _format_accuracy)
    print("balanced accuracy / macro F1")
    _print_table(rows, list(rows[0]["scores"]), _format_balanced)


def _pretrained(row: Row) -> dict[str, Any]:
    """Any score of the run's own encoder."""
    scores: dict[str, dict[str, Any]] = row["scores"]["pretrained"]
    return next(iter(scores.values()))


def _print_table(
    rows: list[Row], columns: list[str], show: Callable[[dict[str, Any]], str]
) -> None:
    """A line for each number of labels and task, a column for each encoder or difference."""
    hides = any(row["hidden"] for row in rows)
    table = [["labels per class", *(["hidden"] if hides else []), "task", *columns]]
    for row in rows:
        cells = row["scores"] | row["differences"]
        hidden = [f"{100 * row['hidden']:g}%"] if hides else []
        for task in row["scores"]["pretrained"]:
            numbers = [
                show(cells[name][task]) if task in cells[name] else "-"
                for name in columns
            ]
            table.append([str(row["labels_per_class"]), *hidden, task, *numbers])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        pairs = zip(line, widths, strict=True)
        print("  ".join(f"{text:<{width}}" for text, width in pairs).rstrip())


def _format_accuracy(score: dict[str, Any]) -> str:
    number = (
        format(score["difference"], "+.3f")
        if "difference" in score
        else format(score["accuracy"], ".3f")
    )
    return f"{number} ± {score['half_width']:.3f}"


def _format_balanced(score: dict[str, Any]) -> str:
    return f"{score['balanced_accuracy']:.3f} / {score['macro_f1']:.3f}"
