"""The report of runs: one self-contained HTML file."""

from pathlib import Path

from r2mae.data.atomic import write_atomic
from r2mae.page.document import document
from r2mae.page.slider import SCRIPT
from r2mae.report import figures, sections
from r2mae.report.record import RunRecord
from r2mae.report.theory import theory_section


def write_report(
    records: list[RunRecord], path: Path, *, with_pictures: bool = True
) -> None:
    """Write the page; pictures need the model, the data and their libraries."""
    tables = {
        "What was run": sections.facts_table(records),
        "Results": sections.numbers_table(records),
    }
    if len(records) > 1:
        tables["Recipe keys that differ"] = sections.keys_table(records)
    beside = [
        f"<section><h2>{name}</h2>{each}</section>" for name, each in tables.items()
    ]
    parts = [f'<div class="figures">{"".join(beside)}</div>']
    if len(records) > 1:
        parts.append("<h2>Paired differences</h2>")
        parts.append(sections.differences_table(records))
    parts.append(_figures("Losses", figures.draw_losses(records)))
    surfaces = figures.draw_surfaces(records)
    parts.append(_figures("Held-out loss over mask ratio and step", surfaces))
    parts.append(theory_section(records))
    held_out = figures.draw_held_out(records)
    parts.append(_figures("Probes and effective rank", held_out))
    if with_pictures:
        from r2mae.report.pictures import pictures_section

        parts.append(pictures_section(records))
    parts.append(_figures("Throughput and progress", figures.draw_progress(records)))
    parts.append(sections.results_section(records))
    parts.append(sections.recipe_section(records))
    names = ", ".join(record.name for record in records)
    write_atomic(path, document(f"Report of {names}", "".join(parts), SCRIPT))


def _figures(title: str, drawn: str) -> str:
    """A section; nothing where nothing is drawn."""
    return f'<h2>{title}</h2><div class="figures">{drawn}</div>' if drawn else ""
