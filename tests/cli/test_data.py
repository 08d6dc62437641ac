"""`r2mae data` passes a store to its modality, and names what is none."""

import signal

import pytest

from r2mae.cli.data import _stopped_by_sigterm, describe
from r2mae.cli.main import main
from r2mae.errors import InputError


@pytest.mark.parametrize("as_json", [True, False])
def test_a_folder_that_is_no_store_is_named(as_json, tmp_path):
    with pytest.raises(InputError, match="must be a store, got a folder that is no"):
        describe(tmp_path, as_json)


def test_kinds_of_all_wings_are_listed(capsys):
    with pytest.raises(SystemExit):
        main(["data", "build", "--help"])
    printed = capsys.readouterr().out
    assert "cells" in printed
    assert "genome" in printed


def test_sigterm_ends_a_build_with_code_143():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ending, _stopped_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ending.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
