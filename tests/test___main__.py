"""`python -m r2mae` is the console script."""

import importlib
import runpy
import sys

import pytest


def run_module(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["r2mae", *arguments])
    sys.modules.pop("r2mae.__main__", None)
    with pytest.raises(SystemExit) as ending:
        runpy.run_module("r2mae", run_name="__main__", alter_sys=False)
    return ending.value.code


def test_the_exit_code_is_that_of_the_command(scratch, monkeypatch, capsys):
    assert run_module(monkeypatch, "recipe", "show", "digits_demo") == 0
    assert "task: pretrain" in capsys.readouterr().out
    assert run_module(monkeypatch, "compare", str(scratch / "absent")) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_importing_it_runs_nothing(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["r2mae", "no-such-command"])
    sys.modules.pop("r2mae.__main__", None)
    importlib.import_module("r2mae.__main__")
