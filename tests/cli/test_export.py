"""`r2mae export` refuses a folder in use before it loads a run."""

import pytest

from r2mae.cli.main import main


def test_a_folder_in_use_is_refused_first(scratch, capsys):
    (scratch / "used").mkdir()
    (scratch / "used" / "file").write_text("x")
    assert main(["export", "no_run", "used", "--to", "timm"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "used must be absent or empty" in line
    assert [path.name for path in (scratch / "used").iterdir()] == ["file"]


def test_help_without_a_run_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "such as transformers" in capsys.readouterr().out
