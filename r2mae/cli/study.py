"""`r2mae study`: train under several mask-ratio laws, and compare the runs."""

import shlex
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from r2mae.cli.arguments import add_set
from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.options import positive, run_path
from r2mae.schema.launch import read_launch

if TYPE_CHECKING:
    from r2mae.studies.plan import Study
    from r2mae.studies.table import Table
    from r2mae.studies.theory_agreement import Agreement

_SLURM = """#!/bin/bash
#SBATCH --job-name=r2mae-{name}
#SBATCH --array=0-{last}
#SBATCH --signal=B:TERM@120
# Each task of the array runs trials until none is left. Add your partition, GPUs and time.
# Submit it again to continue: finished trials are not run again, and failed ones are tried again.
exec {command}
"""


def add_arguments(parser: ArgumentParser) -> None:
    """`[report] STUDY`, changes to it, and where its trials run."""
    parser.usage = "r2mae study [report] STUDY [options]"
    text = (
        "study file, or name of a study that r2mae recipe list shows; with report, only "
        "write its report"
    )
    parser.add_argument("study", nargs="+", metavar="[report] STUDY", help=text)
    add_set(parser)
    parser.add_argument("--seeds", type=positive, metavar="N", help="number of seeds")
    name = "name of the folder in studies/; default: the file's name"
    parser.add_argument("--name", help=name)
    jobs = "worker processes on this machine; default 1"
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help=jobs)
    plan = "print trials, FLOPs and expected time; train nothing"
    parser.add_argument("--dry-run", action="store_true", help=plan)
    slurm = "write a SLURM job array of N workers instead of running the trials here"
    parser.add_argument("--slurm", type=positive, metavar="N", help=slurm)
    # `study` starts its own workers with this option.
    parser.add_argument("--worker", action="store_true", help=SUPPRESS)


def run(arguments: Namespace) -> None:
    """Run, plan or report a study. Raises: InputError where trials failed."""
    from r2mae.studies.plan import load_study

    *action, path = arguments.study
    if action not in ([], ["report"]):
        names = " ".join(arguments.study)
        raise InputError(f"STUDY must be one name, or report STUDY, got {names}.")
    if arguments.name is not None:
        run_path(arguments.name)  # checks that it is a plain name
    study = load_study(path, arguments.set, arguments.seeds, arguments.name)
    if arguments.dry_run:
        from r2mae.studies.dry_run import print_plan

        return print_plan(study, arguments.jobs, arguments.json)
    if action == ["report"]:
        _check_measured(study)
        return _report(study, arguments)
    _check_alone()
    if not arguments.worker:
        study.check_data()
    study.start()
    if arguments.worker:
        from r2mae.studies.queue import end_with_launcher, work

        end_with_launcher()
        return work(study)
    _write_theory_card(study)
    if arguments.slurm is not None:
        return _write_slurm(study, path, arguments)
    return _run(study, path, arguments)


def _check_alone() -> None:
    """Raise InputError for one of several ranks: trials would wait for the others."""
    launch = read_launch()
    if launch.launcher == "none" or launch.world_size == 1:
        return
    got = f"a rank of {launch.launcher}"
    if launch.launcher == "other":
        got = "LOCAL_RANK in the environment, as other launchers set it"
    raise InputError(
        f"r2mae study must be one process, got {got}. Start it by itself with --jobs N, "
        "or use the job array of --slurm N."
    )


def _write_theory_card(study: "Study") -> None:
    """Predict the laws that have no prediction yet, before they train."""
    from r2mae.progress import print_above_bars, progress_bar
    from r2mae.studies.theory_card import read_theory_card, write_theory_card

    laws = write_theory_card(study, progress_bar("theory card", "half-samples"))
    card = read_theory_card(study)
    if card is not None and card.unavailable is not None:
        print_above_bars(f"no theory predictions, because {card.unavailable}")
    elif card is not None and laws:
        least = min(laws, key=lambda law: card.laws[law].expected_regret)
        print_above_bars(f"theory card: {least} has the least predicted regret")


def _run(study: "Study", path: str, arguments: Namespace) -> None:
    from r2mae.studies.queue import (
        failures,
        forget_failures,
        run_workers,
        work,
        worker_command,
    )

    forget_failures(study)
    if arguments.jobs == 1:
        work(study)
    else:
        command = worker_command(_own_arguments(path, arguments))
        run_workers(study, arguments.jobs, command)
    _report(study, arguments)
    if failed := failures(study):
        remedy = (
            "Mend what they say, then the same command tries them again; other "
            "settings need another --name."
        )
        raise InputError(f"{study.name}: {len(failed)} trials failed. {remedy}")


def _own_arguments(path: str, arguments: Namespace) -> list[str]:
    """The arguments that make another command work on the same study."""
    argv = [path]
    for setting in arguments.set:
        argv += ["--set", setting]
    if arguments.seeds is not None:
        argv += ["--seeds", str(arguments.seeds)]
    if arguments.name is not None:
        argv += ["--name", arguments.name]
    return argv


def _check_measured(study: "Study") -> None:
    """Raise InputError where a report would lose what the last one had, or show other laws."""
    from r2mae.studies.queue import describe_unmeasured
    from r2mae.studies.table import build_tables

    study.check_names()
    unmeasured = describe_unmeasured(study)
    if unmeasured is not None and not build_tables(study):
        raise InputError(f"{study.folder}: {unmeasured}")


def _report(study: "Study", arguments: Namespace) -> None:
    from r2mae.studies.queue import describe_missing
    from r2mae.studies.report import write_report
    from r2mae.studies.rows import comparison_rows, summary_rows
    from r2mae.studies.table import build_tables
    from r2mae.studies.theory_section import describe_agreement

    if not study.trials_folder.is_dir():
        raise InputError(
            f"{study.folder} must hold trials for a report, got none. "
            "Run them first: r2mae study."
        )
    path = write_report(study)
    for line in describe_missing(study):
        print(line, file=sys.stderr)
    tables = build_tables(study)
    compared = _compare_to_theory(study, tables)
    rows = {table.title: comparison_rows(table) for table in tables}
    primary = study.section.primary
    if arguments.json:
        document = {"report": str(path), "comparisons": rows, "theory": compared}
        document["gains"] = {table.title: _gains(table, primary) for table in tables}
        print(json_text(document))
        return
    for table in tables:
        _print_summary(table, summary_rows(table, rows[table.title]))
        _print_primary(table, primary)
        for agreement in compared.get(table.title, [])[:1]:
            print(describe_agreement(agreement))
    print(f"report: {path}")


def _compare_to_theory(
    study: "Study", tables: list["Table"]
) -> dict[str, list["Agreement"]]:
    """Agreement of the theory card with each table, by title; empty without a card."""
    from r2mae.studies.theory_agreement import agreements
    from r2mae.studies.theory_card import read_theory_card

    card = read_theory_card(study)
    if card is None:
        return {}
    return {table.title: agreements(table, card) for table in tables}


def _print_summary(table: "Table", rows: list[dict[str, Any]]) -> None:
    """A line for each law, the least mean regret first."""
    from r2mae.studies.summary import with_interval

    title = f"{table.title}: " if table.title else ""
    seeds = "1 seed" if len(table.seeds) == 1 else f"{len(table.seeds)} seeds"
    print(f"{title}{seeds}, {len(table.metrics)} measurements")
    width = max(len(row["law"]) for row in rows)
    for row in rows:
        text = f"{row['law']:<{width}}  mean regret {row['mean_regret']:6.2%}"
        text += f", worst {row['worst_regret']:6.2%}"
        if "specialist_regret" in row:
            half_width = row["specialist_half_width"]
            excess = with_interval(row["specialist_regret"], half_width, ".2%")
            text += f", to specialists {excess}"
        if table.fixed:
            counts = [f"{name} {row[name]}" for name in ("wins", "ties", "loses")]
            text += f"; against the fair fixed ratio: {', '.join(counts)}"
        print(text)


def _print_primary(table: "Table", law: str | None) -> None:
    """The gains of the primary law over the best fixed ratio of each measurement."""
    from r2mae.studies.summary import describe_gain

    rows = _gains(table, law)
    if rows:
        print(f"{law}, relative gain over the best fixed ratio of each measurement:")
    for row in rows:
        print(
            f"  {row['kind']} ({row['count']}): chosen on other seeds "
            f"{describe_gain(row['fair'])}; in hindsight {describe_gain(row['oracle'])}"
        )


def _gains(table: "Table", law: str | None) -> list[dict[str, Any]]:
    """`gain_rows` of the primary law; none without it, or without fixed ratios."""
    from r2mae.studies.summary import gain_rows

    return [] if law is None or not table.fixed else gain_rows(table, law)


def _write_slurm(study: "Study", path: str, arguments: Namespace) -> None:
    from r2mae.studies.queue import forget_failures, worker_command

    forget_failures(study)
    command = shlex.join(worker_command(_own_arguments(path, arguments)))
    script = study.folder / "slurm.sh"
    last = arguments.slurm - 1
    write_atomic(
        script, _SLURM.format(name=study.folder.name, last=last, command=command)
    )
    report = shlex.join(["report", *_own_arguments(path, arguments)])
    print(f"run: sbatch {script}, then: r2mae study {report}")
