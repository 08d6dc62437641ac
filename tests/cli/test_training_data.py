"""Data that changed since training is told of only where test samples are drawn from it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from r2mae.cli.training_data import warn_of_changed_data
from r2mae.errors import InputError


def run_on(fingerprint, *, draws=True):
    def open_split(recipe, split):
        assert split == "train"
        if fingerprint is None:
            raise InputError("data.root must exist")
        return SimpleNamespace(fingerprint=fingerprint)

    return SimpleNamespace(
        manifest={"data": {"fingerprint": "before", "samples": 1405}},
        folder=SimpleNamespace(path=Path("runs/a")),
        recipe=None,
        wing=SimpleNamespace(
            open_split=open_split, draws_test_split=lambda recipe: draws
        ),
    )


def test_changed_data_is_told_with_the_remedy(capsys):
    assert warn_of_changed_data(run_on("after"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("runs/a: the data has changed since training on 1,405 samp")
    assert line.endswith("Restore the data, or train again.")


@pytest.mark.parametrize(
    "run",
    [run_on("before"), run_on("after", draws=False), run_on(None)],
    ids=["unchanged", "a test split of its own", "no data"],
)
def test_nothing_is_told_otherwise(run, capsys):
    assert not warn_of_changed_data(run)
    assert capsys.readouterr().err == ""
