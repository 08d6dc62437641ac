"""Tables of a report on runs."""

import html
from typing import Any

from r2mae.page.markup import cell, data_table, paragraph
from r2mae.report.comparison import (
    Difference,
    differing_keys,
    final_numbers,
    paired_differences,
)
from r2mae.report.record import RunRecord
from r2mae.schema.document import write_document

_PAIRED = (
    "Final values minus those of the first run's recipe, paired by seed, with 95 % "
    "intervals over seeds (Student's t)."
)
_MOST_RESULTS = 200  # rows of a results file


def facts_table(records: list[RunRecord]) -> str:
    """What was run, and where: a column for each run."""
    facts = [_facts(record) for record in records]
    lines = []
    for key in facts[0]:
        values = [each[key] for each in facts]
        if any(values):
            lines.append("".join(map(cell, [key, *values])))
    return data_table(["run", *(record.name for record in records)], lines)


def _facts(record: RunRecord) -> dict[str, str]:
    status, recipe = record.status, record.recipe
    hardware = status.get("hardware", {})
    versions = status.get("versions", {})
    data: dict[str, Any] = record.manifest.get("data", {})
    planned = status.get("steps")
    of_planned = f" of {planned:,}" if planned else ""
    return {
        "task": f"{recipe.get('task', '')} {recipe.get('modality', '')}",
        "mask-ratio law": record.law,
        "seed": str(recipe.get("seed", "")),
        "status": str(status.get("status", "")),
        "step": f"{record.step:,}{of_planned}",
        "seconds": _number(status.get("seconds")),
        "updated": str(status.get("updated", "")),
        "host": str(hardware.get("host", "")),
        "device": _device(hardware),
        "precision": str(hardware.get("precision", "")),
        "commit": str(status.get("commit") or "")[:12],
        "training samples": _number(data.get("samples")),
        "data fingerprint": record.data_fingerprint,
        "environment fingerprint": record.environment_fingerprint if versions else "",
        **{name: str(version) for name, version in versions.items()},
    }


def _device(hardware: dict[str, Any]) -> str:
    processes = hardware.get("processes", 1)
    device = str(hardware.get("device", ""))
    return f"{processes} x {device}" if processes and processes > 1 else device


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else ""


def numbers_table(records: list[RunRecord]) -> str:
    """Final held-out losses and probes, and median throughput."""
    numbers = [final_numbers(record) for record in records]
    titles = dict.fromkeys(title for each in numbers for title in each)
    lines = []
    for title in titles:
        values = [f"{each[title]:.5g}" if title in each else "" for each in numbers]
        lines.append("".join(map(cell, [title, *values])))
    return data_table(["last value", *(record.name for record in records)], lines)


def keys_table(records: list[RunRecord]) -> str:
    """Recipe keys that differ between runs."""
    keys = differing_keys(records)
    if not keys:
        return paragraph("All runs have the same recipe.")
    lines = ["".join(map(cell, [key, *values])) for key, values in keys.items()]
    return data_table(["recipe key", *(record.name for record in records)], lines)


def differences_table(records: list[RunRecord]) -> str:
    """Paired differences to the recipe of the first run."""
    rows, left_out = paired_differences(records)
    parts = []
    if rows:
        header = ["measurement", "runs", "minus", "seeds", "difference"]
        lines = ["".join(map(cell, _difference_cells(row))) for row in rows]
        parts += [paragraph(_PAIRED), data_table(header, lines)]
    if left_out:
        parts.append(paragraph(left_out))
    return "".join(parts)


def _difference_cells(row: Difference) -> list[str]:
    seeds = ", ".join(map(str, row.seeds))
    runs, reference = ", ".join(row.runs), ", ".join(row.reference)
    return [row.metric, runs, reference, seeds, describe_difference(row)]


def describe_difference(row: Difference) -> str:
    """`-0.0123 ± 0.0045`; without an interval for one seed."""
    text = f"{row.difference:+.4f}"
    return text if row.half_width is None else f"{text} ± {row.half_width:.4f}"


def results_section(records: list[RunRecord]) -> str:
    """Numbers of the files that `r2mae evaluate --json` was written to."""
    parts = []
    for record in records:
        for file, result in record.results.items():
            rows = _leaves(result)[:_MOST_RESULTS]
            lines = [cell(key) + cell(value) for key, value in rows]
            title = html.escape(f"{record.name}: {file}")
            parts.append(f"<h3>{title}</h3>{data_table(['key', 'value'], lines)}")
    return f"<h2>Evaluation</h2>{''.join(parts)}" if parts else ""


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted key, value) of numbers and texts in nested JSON."""
    entries = value
    if isinstance(value, list):
        entries = {str(number): item for number, item in enumerate(value)}
    if not isinstance(entries, dict):
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        return [(prefix, text)]
    rows = []
    for key, entry in entries.items():
        rows += _leaves(entry, f"{prefix}.{key}" if prefix else str(key))
    return rows


def recipe_section(records: list[RunRecord]) -> str:
    """Resolved recipes, folded."""
    parts = ["<h2>Recipes</h2>"]
    for record in records:
        name, text = html.escape(record.name), write_document(record.recipe)
        parts.append(
            f"<details><summary>{name}</summary><pre>{html.escape(text)}</pre></details>"
        )
    return "".join(parts)
