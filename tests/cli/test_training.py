"""Training from the command line: the traceback of a fault goes to the run's own log."""

import r2mae.recipe.train
from r2mae.cli.main import main
from tests.conftest import DEMO, overrides


def test_a_fault_while_training_is_logged_in_the_run_folder(
    scratch, monkeypatch, capsys
):
    def fail(*_):
        raise ArithmeticError("planted fault")

    monkeypatch.setattr(r2mae.recipe.train, "_train", fail)
    assert main(["pretrain", str(DEMO), "--name", "a", *overrides()]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "fault in r2mae: ArithmeticError: planted fault" in last
    log = scratch / "runs/a/stderr.log"
    assert str(log.relative_to(scratch)) in last
    assert "in fail" in log.read_text()


def test_a_fault_before_the_run_exists_is_logged_elsewhere(
    scratch, monkeypatch, capsys
):
    def fail(*_, **__):
        raise ArithmeticError("planted fault")

    monkeypatch.setattr(r2mae.recipe.train, "build_training", fail)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert main(["pretrain", str(DEMO), "--name", "a", *overrides()]) == 1
    assert "planted fault" in (scratch / "r2mae-error.log").read_text()
    assert "planted fault" in capsys.readouterr().err
    assert not (scratch / "runs/a").exists()
