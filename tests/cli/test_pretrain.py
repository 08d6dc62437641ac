"""`r2mae pretrain`: it trains once, and answers again when finished."""

import json

from r2mae.cli.main import main
from tests.conftest import DEMO, overrides

CALL = ["pretrain", str(DEMO), *overrides("schedule.steps=4"), "--name", "run"]


def answer(capfd, *more):
    capfd.readouterr()
    assert main([*CALL, "--json", *more]) == 0
    return json.loads(capfd.readouterr().out)


def test_a_finished_run_answers_again_and_starts_over_on_request(scratch, capfd):
    first = answer(capfd)
    assert (first["status"], first["step"]) == ("finished", 4)
    assert first["metrics"]["validation/loss"] > 0
    trained = (scratch / "runs/run/metrics.csv").stat().st_mtime_ns
    assert answer(capfd) == first
    assert (scratch / "runs/run/metrics.csv").stat().st_mtime_ns == trained
    fresh = answer(capfd, "--fresh")
    assert fresh["metrics"] == first["metrics"]
    assert len(list((scratch / "runs").glob("run*"))) == 2


def test_profile_writes_a_table_of_some_steps(scratch, capfd):
    answer(capfd, "--profile", "1")
    assert "Self CPU" in (scratch / "runs/run/profile.txt").read_text()


def test_a_fine_tuning_recipe_is_refused(scratch, capsys):
    assert main(["pretrain", "digits_finetune"]) == 2
    assert "task must be pretrain here, got finetune" in capsys.readouterr().err
    assert not (scratch / "runs").exists()
