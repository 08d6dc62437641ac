"""A command of one modality runs on runs of it, and on no others."""

from argparse import Namespace

import pytest

import r2mae.recipe.run
from r2mae.cli.wing_subcommand import run_subcommand
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.wing_commands import Subcommand
from tests.interop.encoders import load_encoder

ARGUMENTS = Namespace(run="runs/a", checkpoint="best", weights="ema")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Arguments with which a run on images was loaded."""
    loaded, calls = load_encoder("ViT", tmp_path), []

    def load_run(*arguments):
        calls.append(arguments)
        return loaded

    monkeypatch.setattr(r2mae.recipe.run, "load_run", load_run)
    return loaded, calls


def test_the_run_and_its_arguments_are_handed_on(opened, monkeypatch):
    loaded, calls = opened
    seen = []
    command = Subcommand("help", lambda run, arguments: seen.append((run, arguments)))
    monkeypatch.setattr(type(loaded.wing), "subcommands", {"sharpen": command})
    run_subcommand("sharpen", command, ARGUMENTS)
    assert seen == [(loaded, ARGUMENTS)]
    assert calls == [("runs/a", "best", "ema")]


def test_another_modality_is_refused(opened):
    command = find_wing("dna").subcommands["score-variants"]
    quiet = Subcommand(command.help, command.run)
    with pytest.raises(InputError, match="has score-variants, got one on vision"):
        run_subcommand("score-variants", quiet, ARGUMENTS)


def test_arguments_are_checked_before_the_run_is_loaded(opened):
    _, calls = opened

    def refuse(_):
        raise InputError("--window must be positive, got -1.")

    command = Subcommand("help", lambda *_: None, check=refuse)
    with pytest.raises(InputError, match="--window"):
        run_subcommand("sharpen", command, ARGUMENTS)
    assert calls == []
