"""`r2mae study`: plan, report and SLURM script."""

import json
import re
import sys

import pytest

from r2mae.cli.main import main
from r2mae.schema.launch import Launch
from r2mae.studies import theory_card
from r2mae.studies.plan import load_study
from r2mae.studies.queue import count_finished, failure_file
from tests.studies.small import LAWS, predict_at_once, write_study


@pytest.fixture(autouse=True)
def _theory_at_once(monkeypatch):
    monkeypatch.setattr(theory_card, "predict_laws", predict_at_once)


def test_dry_run_trains_nothing(scratch, capsys):
    path = write_study(scratch)
    assert main(["study", str(path), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["trials"] == 6
    assert [row["law"] for row in plan["laws"]] == list(LAWS)
    assert all(row["pflop"] > 0 and row["steps"] == 4 for row in plan["laws"])
    assert not (scratch / "studies").exists()


def test_dry_run_has_a_row_for_each_variant(scratch, capsys):
    two = {law: LAWS[law] for law in ("fixed 0.25", "stratified")}
    path = str(write_study(scratch, vary={"model.depth": [1, 2]}, laws=two))
    assert main(["study", path, "--dry-run"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == "8 trials: 2 laws x 2 variants x 2 seeds"
    cost = re.compile(r"(.+?) +mean ratio .* ([\d.e+-]+) PFLOP")
    costs = dict(match.groups() for row in rows if (match := cost.match(row)))
    names = ["fixed 0.25, model.depth 1", "fixed 0.25, model.depth 2"]
    assert float(costs[names[1]]) > float(costs[names[0]])
    assert len(costs) == 4
    assert rows[0].endswith(" fixed (ratio 0.25)")
    assert "uniform (low 0.1, high 0.9), stratified" in rows[1]
    assert re.fullmatch(r"training: about 0:\d\d:\d\d in .*--jobs 1", rows[4])


def test_one_seed_is_reported_as_valid_json(scratch, capsys):
    measure = {"ratios": [0.25], "probes": []}
    changes = {"seeds": 1, "primary": "stratified", "measure": measure}
    path = str(write_study(scratch, **changes))
    assert main(["study", path]) == 0
    assert "nan" not in capsys.readouterr().out
    assert main(["study", "report", path, "--json"]) == 0
    text = capsys.readouterr().out
    assert "NaN" not in text
    (gain,) = json.loads(text)["gains"][""]
    assert (gain["kind"], gain["fair"]["mean"]) == ("held-out loss", None)
    page = (scratch / "studies/small/report.html").read_text()
    assert "nan<" not in page
    assert "nan%" not in page


def test_slurm_script_starts_workers(scratch, capsys):
    path = write_study(scratch)
    assert main(["study", str(path), "--slurm", "3", "--seeds", "1"]) == 0
    assert f"then: r2mae study report {path} --seeds 1\n" in capsys.readouterr().out
    script = (scratch / "studies/small/slurm.sh").read_text()
    assert "--array=0-2" in script
    assert f"study {path} --seeds 1 --worker" in script
    command = script.strip().splitlines()[-1].removeprefix("exec ").split()
    assert command[:3] == [sys.executable, "-m", "r2mae"]
    assert main(command[3:]) == 0
    assert count_finished(load_study(str(path), seeds=1)) == 3


def test_a_report_says_what_it_leaves_out(scratch, capsys):
    measure = {"ratios": [0.25], "probes": []}
    path = str(write_study(scratch, seeds=1, measure=measure))
    assert main(["study", path, "--seeds", "2"]) == 0
    capsys.readouterr()
    assert main(["study", "report", path]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("has trials of 2 seeds; --seeds 2 compares them too.")
    study = load_study(path, seeds=3)
    lost = study.trials[-1]
    failure_file(study, lost).parent.mkdir(exist_ok=True)
    failure_file(study, lost).write_text("out of memory\nTraceback")
    assert main(["study", "report", path, "--seeds", "3"]) == 0
    lines = capsys.readouterr().err.splitlines()
    expected = "6 of 9 trials are measured.", f"{lost.name} failed: out of memory"
    assert tuple(lines) == expected
    page = (scratch / "studies/small/report.html").read_text()
    assert all(line in page for line in lines)
    assert "stratified: uniform (low 0.1, high 0.9), stratified" in page


def test_a_report_without_trials_is_refused(scratch, capsys):
    path = write_study(scratch)
    assert main(["study", "report", str(path)]) == 2
    assert "must hold trials for a report, got none" in capsys.readouterr().err
    assert not (scratch / "studies").exists()


def test_a_rank_of_a_launcher_is_refused(scratch, capsys, monkeypatch):
    monkeypatch.setattr(
        "r2mae.cli.study.read_launch", lambda: Launch("slurm", True, 0, 2, 2)
    )
    assert main(["study", str(write_study(scratch)), "--worker"]) == 2
    assert "must be one process, got a rank of slurm" in capsys.readouterr().err
    assert not (scratch / "studies").exists()
