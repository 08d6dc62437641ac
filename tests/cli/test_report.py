"""`r2mae report`: where the page is written, and what is refused."""

import json

import pytest

from r2mae.cli.main import main
from tests.report.test_report import write_run


def test_the_page_is_in_the_run_or_here_for_several(scratch, capsys):
    one, two = write_run(scratch / "one"), write_run(scratch / "two", seed=1)
    assert main(["report", one, "--no-pictures"]) == 0
    assert capsys.readouterr().out == f"report: {one}/report.html\n"
    assert (scratch / "one/report.html").is_file()
    assert main(["report", one, two, "--no-pictures", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"report": "report.html", "runs": [one, two]}
    page = (scratch / "report.html").read_text()
    assert "Paired differences" in page


@pytest.mark.parametrize("name", ["page.pdf", "page"])
def test_another_ending_is_refused(scratch, capsys, name):
    run = write_run(scratch / "one")
    assert main(["report", run, "--no-pictures", "-o", name]) == 2
    assert f"--output must end in .html, got {name!r}" in capsys.readouterr().err
    assert not (scratch / name).exists()
