"""The report of a study: a self-contained HTML file, and CSV files of the same numbers."""

import csv
import html
import math
from collections.abc import Sequence
from pathlib import Path

from r2mae.data.atomic import atomic_file, write_atomic
from r2mae.page.document import document
from r2mae.page.markup import cell, data_table, paragraph
from r2mae.studies.figures import draw_hidden, draw_losses, draw_regrets
from r2mae.studies.plan import Study
from r2mae.studies.queue import describe_missing
from r2mae.studies.rows import (
    Row,
    comparison_rows,
    regret_rows,
    summary_rows,
    trial_rows,
)
from r2mae.studies.summary import describe_gain, gain_rows, with_interval
from r2mae.studies.table import Metric, Table, build_tables
from r2mae.studies.theory_agreement import law_rows
from r2mae.studies.theory_card import TheoryCard, read_theory_card
from r2mae.studies.theory_section import theory_section


def write_report(study: Study) -> Path:
    """Write report.html and CSV files of its numbers; returns the HTML file.

    Laws are compared over the seeds that all of them have.

    Raises: InputError where the study's theory card was changed since it was written.
    """
    card = read_theory_card(study)
    tables = build_tables(study)
    compared = {table.variant: comparison_rows(table) for table in tables}
    _write_csv(study.folder / "trials.csv", trial_rows(study))
    _write_csv(
        study.folder / "comparisons.csv",
        [row for rows in compared.values() for row in rows],
    )
    _write_csv(
        study.folder / "regrets.csv",
        [row for table in tables for row in regret_rows(table)],
    )
    if card is not None:
        predicted = [row for table in tables for row in law_rows(table, card)]
        _write_csv(study.folder / "theory.csv", predicted)
    path = study.folder / "report.html"
    sections = [
        _section(study, table, compared[table.variant], card) for table in tables
    ]
    write_atomic(path, _page(study, sections))
    return path


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with atomic_file(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _page(study: Study, sections: list[str]) -> str:
    section = study.section
    lines = [
        f"{len(study.trials)} runs of {section.recipe}: "
        f"{len(section.laws)} mask-ratio laws, {section.seeds} seeds, "
        f"{section.budget.replace('_', ' ')}.",
        "Gains are paired by seed, with 95 % intervals; positive is better. "
        "The fair fixed ratio is chosen, for each seed, by the other seeds. "
        "The oracle is the best fixed ratio in hindsight.",
    ]
    lines += describe_missing(study)
    body = "".join(map(paragraph, lines))
    if not sections:
        body += "<p>No seed is finished under all laws yet.</p>"
    return document(f"Study {study.name}", body + "".join(sections))


def _section(
    study: Study, table: Table, rows: list[Row], card: TheoryCard | None
) -> str:
    primary, title = study.section.primary, html.escape(table.title)
    parts = [f"<h2>{title}</h2>" if title else ""]
    if primary is not None and table.fixed:
        parts.append(_primary_table(table, primary))
    parts.append(_summary_table(table, rows))
    figures = draw_losses(table) + draw_hidden(table) + draw_regrets(table)
    parts.append(f'<div class="figures">{figures}</div>')
    trials = [each for each in study.distinct_trials if each.variant == table.variant]
    laws = [f"{trial.law}: {trial.law_in_words}" for trial in trials]
    parts.append(_folded("Laws, with what they take from the recipe", laws))
    parts.append(_folded("In sentences", sentences(table, rows)))
    parts.append(theory_section(table, card))
    parts += [_metric_table(table, metric, rows) for metric in table.metrics.values()]
    return "".join(parts)


def _folded(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<details><summary>{title}</summary><ul>{items}</ul></details>"


def _primary_table(table: Table, law: str) -> str:
    """Gains of the law that the study is about, by kind of measurement."""
    header = ["measurements", "over the fair fixed ratio", "over the oracle"]
    lines = []
    for row in gain_rows(table, law):
        cells = [cell(f"{row['kind']} ({row['count']})")]
        for gain in (row["fair"], row["oracle"]):
            cells.append(cell(describe_gain(gain), gain.verdict))
        lines.append("".join(cells))
    title = f"<h3>{html.escape(law)}: mean relative gain</h3>"
    return title + data_table(header, lines)


def sentences(table: Table, rows: list[Row]) -> list[str]:
    """What the comparison shows, a sentence for each metric."""
    lines: list[str] = []
    if not table.fixed or not table.random:
        return lines
    for metric in table.metrics.values():
        best = metric.best_of(table.random)
        row = next(r for r in rows if r["law"] == best and r["metric"] == metric.name)
        gain, width = row["gain_over_fair"], row["fair_half_width"]
        if math.isnan(width):
            continue
        lines.append(
            f"{metric.name}: the best random law, {best}, {row['fair_verdict']} against "
            f"the fair fixed ratio ({gain:+.4f} ± {width:.4f}, Holm p {row['p_holm']:.3f}) "
            f"and {row['oracle_verdict']} against the oracle, {row['oracle']} "
            f"({row['gain_over_oracle']:+.4f} ± {row['oracle_half_width']:.4f})."
        )
    return lines


def _number(value: float | None, style: str) -> str:
    """Empty where there is none, as for one seed."""
    return "" if value is None or math.isnan(value) else format(value, style)


def _metric_table(table: Table, metric: Metric, rows: list[Row]) -> str:
    here = [row for row in rows if row["metric"] == metric.name]
    here.sort(key=lambda row: -metric.sign * row["mean"])
    header = ["law", "mean"]
    if table.fixed:
        header += ["gain over fair fixed", "Holm p", "gain over oracle", "detectable"]
    lines = []
    for row in here:
        cells = [cell(row["law"]), cell(f"{row['mean']:.4f}")]
        if table.fixed:
            cells += [
                _gain(row, "fair"),
                cell(_number(row["p_holm"], ".3f")),
                _gain(row, "oracle"),
                cell(_number(row["fair_detectable"], ".4f")),
            ]
        lines.append("".join(cells))
    better = f"{metric.better} is better"
    title = f"<h3>{html.escape(metric.name)} <small>{better}</small></h3>"
    return title + data_table(header, lines)


def _summary_table(table: Table, rows: list[Row]) -> str:
    header = ["law", "mean regret", "worst regret", "where"]
    if table.fixed:
        header += ["regret to the specialists", "wins / ties / losses"]
    lines = []
    for row in summary_rows(table, rows):
        cells = [cell(row["law"]), cell(f"{row['mean_regret']:.2%}")]
        cells += [cell(f"{row['worst_regret']:.2%}"), cell(row["worst_metric"])]
        if table.fixed:
            text = ""
            if "specialist_regret" in row:
                width = row["specialist_half_width"]
                text = with_interval(row["specialist_regret"], width, ".2%")
            cells.append(cell(text))
            counts = [str(row[name]) for name in ("wins", "ties", "loses")]
            cells.append(cell(" / ".join(counts)))
        lines.append("".join(cells))
    note = (
        "<p>Regret is the relative shortfall to the best law of a measurement. The "
        "specialist of a ratio is the law fixed at it. Wins, ties and losses are "
        "against the fair fixed ratio, over all measurements.</p>"
    )
    return "<h3>Regret over all measurements</h3>" + note + data_table(header, lines)


def _gain(row: Row, name: str) -> str:
    gain, width = row[f"gain_over_{name}"], row[f"{name}_half_width"]
    text = "" if math.isnan(gain) else with_interval(gain, width, ".4f")
    return cell(text, row[f"{name}_verdict"])
