"""Fill the tables about mask-ratio laws in Markdown files, from study folders.

    python scripts/law_tables.py README.md docs/results.md

Run it where `studies/` is. `<!-- laws: digits pbmc3k -->` starts a table with a line for
each study, `<!-- laws in detail: digits pbmc3k -->` one with more columns,
`<!-- theory: digits pbmc3k -->` one of the theory's predictions, and `<!-- study: digits -->`
one with a line for each law; `<!-- end -->` ends them. A study is named in them by the first
comment of its file, which says what mask ratios are compared on.
What is there about a study without a complete seed in `studies/` stays. A study without
predictions has no line about the theory.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.recipe.shipped import find_study
from r2mae.studies.measurement import HIDDEN_PROBES, IN_TRAINING
from r2mae.studies.plan import load_study
from r2mae.studies.rows import comparison_rows, summary_rows
from r2mae.studies.summary import gain_rows, with_interval
from r2mae.studies.table import build_tables
from r2mae.studies.theory_agreement import agreements
from r2mae.studies.theory_card import read_theory_card
from r2mae.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent
_OPENING = r"<!-- (laws|laws in detail|theory|study): ([^>]*?) -->"
_BLOCK = re.compile(rf"({_OPENING}\n)(.*?)(<!-- end -->)", re.DOTALL)
_START = re.compile(_OPENING)
_KINDS = ("held-out loss", "probes", HIDDEN_PROBES, HIDDEN_PROBES + IN_TRAINING)
_SUBJECT = re.compile(r"# .* mask ratios compared on (.*?)(?:[.,] 2 CPU cores\.)?\n")
_HEADER = ["data and model", "random ratio", "best fixed ratio"]
_HEADER += [f"{kind}, gain in %" for kind in _KINDS]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.md")
    try:
        for path in parser.parse_args().files:
            to_root = os.path.relpath(ROOT, path.resolve().parent) + "/"
            to_root = to_root.removeprefix("./")  # of a file in the root itself
            write_atomic(path, fill(path.read_text(), to_root))
    except (InputError, OSError) as error:
        print(f"law_tables.py: {error}", file=sys.stderr)
        return 2
    return 0


def fill(text, to_root=""):
    """The text with new tables in its blocks. to_root: what leads its links to the repository's root.

    Raises: InputError for a block without an end, or a study that does not exist.
    """
    starts = [match[0] for match in _START.finditer(text)]
    ended = [match[1].strip() for match in _BLOCK.finditer(text)]
    for start in starts:
        if start not in ended:
            raise InputError(
                f"{start} must be a line of its own, and the table must end by <!-- end -->."
            )
    return _BLOCK.sub(lambda match: _fill_block(match, to_root), text)


def _fill_block(match, to_root):
    start, kind, names, content, end = match.groups()
    if kind != "study":
        header, line_of = _COLUMNS[kind]
        rows = [
            row
            for name in names.split()
            for row in _study_lines(name, content, line_of, to_root)
        ]
        return start + _markdown(header, rows) + end
    study = load_study(names)
    return start + (_law_tables(study, _tables(study)) or content) + end


def _tables(study):
    """A table for each variant; none, and a line, where no seed has all measurements under every law."""
    study.check_names()
    tables = build_tables(study) if study.trials_folder.is_dir() else []
    if not tables:
        line = f"{study.name}: no complete seed in {study.folder}, left as is"
        print(line, file=sys.stderr)
    return tables


def _study_lines(name, content, line_of, to_root):
    """A line for each variant.

    content: the table so far. to_root: see `fill`. line_of: makes a line of the study, the variant's
    table, and a title; or None.
    """
    study = load_study(name)
    file = f"recipes/studies/{study.name}.yaml)"
    link = f"[{subject(name)}]({to_root}{file}"
    tables = _tables(study)
    if not tables:
        for line in content.splitlines():
            if file in line:
                title, *cells = (cell.strip() for cell in line.strip()[1:-1].split("|"))
                yield [link + title.partition(file)[2], *cells]
        return
    for table in tables:
        title = f"{link}, {table.title}" if table.title else link
        line = line_of(study, table, title)
        if line is not None:
            yield line


def subject(name):
    """Data and model of a study in words, or its name."""
    match = _SUBJECT.match(find_study(name).read_text())
    return match[1] if match else name


def _compare(study, table, title):
    """The primary law against the best fixed ratio."""
    law, name = study.section.primary, study.name
    if law is None:
        raise InputError(f"{name} must have a primary law for a line, got none.")
    rows = {row["law"]: row for row in _summary(table)}  # the least mean first
    fixed = next((rows[each] for each in rows if each in table.fixed), None)
    if fixed is None:
        raise InputError(f"{name} must have a fixed ratio for a line, got none.")
    gains = {row["kind"]: row for row in gain_rows(table, law)}
    return _Comparison(title, rows[law], fixed, gains)


class _Comparison(NamedTuple):
    """The primary law of a study against fixed ratios: rows of the summary, gains by kind."""

    title: str
    primary: dict
    fixed: dict  # the one of the least mean regret
    gains: dict

    def span(self):
        """The primary law's range of ratios."""
        return self.primary["law"].removeprefix("uniform ").partition(",")[0]

    def gain(self, kind, choice):
        """The gain over fixed ratios chosen fairly, or in hindsight; empty where nothing was measured."""
        return _gain(self.gains[kind][choice]) if kind in self.gains else ""


def _line(study, table, title):
    return _line_of(_compare(study, table, title))


def _line_of(comparison):
    gains = [comparison.gain(kind, "fair") for kind in _KINDS]
    fixed = comparison.fixed["law"].removeprefix("fixed ")
    return [comparison.title, comparison.span(), fixed, *gains]


def _detailed_line(study, table, title):
    comparison = _compare(study, table, title)
    regrets = [
        f"{100 * row['mean_regret']:.1f}, {100 * row['worst_regret']:.1f}"
        for row in (comparison.primary, comparison.fixed)
    ]
    hindsight = [comparison.gain(kind, "oracle") for kind in _KINDS]
    return [*_line_of(comparison), *hindsight, *regrets]


def _theory_line(study, table, title):
    """Predicted against measured regret; None where the theory ranks fewer than three laws."""
    card = read_theory_card(study)
    compared = (
        {} if card is None else {row.kind: row for row in agreements(table, card)}
    )
    overall = next(iter(compared.values()), None)
    if overall is None or overall.tau is None:
        return None
    losses = compared.get(_KINDS[0])
    costs = f"{overall.cost:.1%}", f"{overall.random_cost:.1%}"
    of_losses = "" if losses is None else _tau(losses)
    return [title, str(overall.points), _tau(overall), of_losses, *costs]


def _tau(agreement):
    low, high = agreement.tau_band
    return f"{agreement.tau:+.2f} ({low:+.2f} to {high:+.2f})"


def _gain(gain):
    if not gain.verdict:
        return "one seed"
    text = f"{100 * gain.mean:+.1f} ± {100 * gain.half_width:.1f}"
    return {"wins": f"**{text}**", "loses": f"*{text}*"}.get(gain.verdict, text)


def _law_tables(study, tables):
    """What was run, then a line for each law, in each variant."""
    text = ""
    for table in tables:
        rows = [_law_line(row) for row in _summary(table)]
        header = ["law", "mean regret", "worst regret", "regret to specialists"]
        header += ["against the fair fixed ratio: wins, ties, losses"]
        title = f"{table.title}: " if table.title else ""
        text += f"{title}{_what_ran(study, table)}\n\n{_markdown(header, rows)}\n"
    return text


def _what_ran(study, table):
    here = [trial for trial in study.trials if trial.variant == table.variant]
    trials = [trial for trial in here if trial.seed in table.seeds]
    runs = [RunFolder(study.path(trial)).read_status() for trial in trials]
    seconds = sum(run["seconds"] for run in runs)
    steps = sorted({run["steps"] for run in runs})
    span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    return (
        f"{len(table.laws)} laws x {len(table.seeds)} seeds, {span} steps "
        f"({study.section.budget.replace('_', ' ')}), {len(table.metrics)} measurements; "
        f"{seconds / 60:.0f} minutes of training."
    )


def _summary(table):
    return summary_rows(table, comparison_rows(table))


def _law_line(row):
    specialists = ""
    if "specialist_regret" in row:
        width = row["specialist_half_width"]
        specialists = with_interval(row["specialist_regret"], width, ".1%")
    counts = ", ".join(str(row[name]) for name in ("wins", "ties", "loses"))
    worst = f"{row['worst_regret']:.1%} ({row['worst_metric']})"
    return [row["law"], f"{row['mean_regret']:.1%}", worst, specialists, counts]


def _markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_COLUMNS = {
    "laws": (_HEADER, _line),
    "laws in detail": (
        _HEADER
        + [f"{kind}, gain in hindsight" for kind in _KINDS]
        + ["mean, worst regret of the random ratio", "and of the best fixed ratio"],
        _detailed_line,
    ),
    "theory": (
        [
            "data and model",
            "predictions",
            "Kendall's tau, all measurements",
            "held-out loss",
            "cost of following it",
            "of a random choice",
        ],
        _theory_line,
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
