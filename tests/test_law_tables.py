"""scripts/law_tables.py fills tables from study folders, and leaves others."""

import importlib.util
import re

import pytest

from r2mae.studies import theory_card
from r2mae.studies.plan import load_study
from r2mae.studies.theory_card import write_theory_card
from r2mae.studies.trial import run_trial
from tests.conftest import ROOT
from tests.studies.small import predict_at_once, write_study

PAGE = """# Results
<!-- laws: digits small.yaml -->
| data | old | table |
| --- | --- | --- |
| [digits](recipes/studies/digits.yaml) | kept |  |
| [small.yaml](recipes/studies/small.yaml) | replaced | |
<!-- end -->
<!-- laws in detail: small.yaml -->
<!-- end -->
<!-- theory: digits small.yaml -->
| [digits](recipes/studies/digits.yaml) | 5 |
<!-- end -->
<!-- study: digits -->
stays
<!-- end -->
<!-- study: small.yaml -->
goes
<!-- end -->
"""


@pytest.fixture
def law_tables():
    path = ROOT / "scripts" / "law_tables.py"
    specification = importlib.util.spec_from_file_location("law_tables", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def fill(scratch, law_tables):
    return law_tables.fill


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- laws: digits -->\n", "must end by <!-- end -->"),
        ("see <!-- laws: digits --> here\n<!-- end -->\n", "must be a line of its own"),
        ("<!-- study: none -->\n<!-- end -->\n", "STUDY must be a file, or one of"),
        (None, "No such file or directory"),
    ],
)
def test_a_page_that_cannot_be_filled_is_one_line(
    law_tables, scratch, monkeypatch, capsys, text, message
):
    if text is not None:
        (scratch / "page.md").write_text(text)
    monkeypatch.setattr("sys.argv", ["law_tables.py", "page.md"])
    assert law_tables.main() == 2
    assert message in capsys.readouterr().err
    if text is not None:
        assert (scratch / "page.md").read_text() == text


def test_only_tables_of_studies_with_trials_are_filled(
    fill, law_tables, scratch, capsys, monkeypatch
):
    build, built = law_tables.build_tables, []

    def build_tables(study):
        built.append(study.name)
        return build(study)

    monkeypatch.setattr(law_tables, "build_tables", build_tables)
    study = load_study(str(write_study(scratch, primary="stratified")))
    for trial in study.trials:
        run_trial(study, trial)
    without_card = fill(PAGE, "../")
    monkeypatch.setattr(theory_card, "predict_laws", predict_at_once)
    write_theory_card(study)
    built.clear()
    page = fill(PAGE, "../")
    assert built == ["small"] * 4  # once for each block
    digits = "| [scanned digits: a small ViT](../recipes/studies/digits.yaml) |"
    assert f"{digits} kept |  |\n" in page
    assert "stays" in page
    assert "goes" not in page
    assert "replaced" not in page
    short, detailed, theory = re.findall(r"\| \[small.yaml\]\(../recipes/.*", page)
    number = r"[+-]\d\.\d\d \([+-]\d\.\d\d to [+-]\d\.\d\d\)"
    assert re.search(rf"\| 3 \| {number} \| {number} \| \d.*% \| \d.*% \|$", theory)
    assert without_card.count("[small.yaml](../recipes/") == 2
    assert page.count(f"{digits} 5 |\n") == 1
    assert detailed.startswith(short.rstrip("| "))
    assert detailed.count(" | ") == short.count(" | ") + 6
    assert "3 laws x 2 seeds, 4 steps (equal steps)" in page
    assert "| fixed 0.25 |" in page
    assert (
        "digits: no complete seed in studies/digits, left as is"
        in capsys.readouterr().err
    )


def test_tables_stay_where_a_measurement_is_missing(fill, scratch):
    """As after one was added to a study."""
    study = load_study(str(write_study(scratch, seeds=1, primary="stratified")))
    for trial in study.trials:
        folder = study.path(trial)
        folder.mkdir(parents=True)
        (folder / "measurements.json").write_text("{}")
    page = fill(PAGE)
    assert page.count("replaced") == PAGE.count("replaced") > 0
    assert "goes" in page
