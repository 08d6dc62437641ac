"""scripts/law_figure.py draws what docs/results.md says."""

import sys

import pytest

from tests.conftest import ROOT

PAGE = """<!-- laws in detail: worm_neuron digits pbmc68k_sizes -->
<!-- study: digits -->
| law | mean regret | worst regret |
| --- | --- | --- |
| fixed 0.5 | 7.4% | 84.2% (kNN) |
| uniform 0.1-0.9, stratified, 1 / ratio | 14.0% | 33.4% (kNN) |
| uniform 0.1-0.9, a draw a step | 20.0% | 30.0% (kNN) |
| fixed 0.25 | 22.5% | 60.0% (kNN) |
<!-- end -->
<!-- study: worm_neuron -->
| uniform 0.1-0.9, stratified, 1 / ratio | 1.3% | 7.0% (kNN) |
| fixed 0.9 | 42.4% | 53.0% (kNN) |
<!-- end -->
<!-- study: pbmc68k_sizes -->
model.hidden 32: 6 laws
| uniform 0.1-0.9, stratified, 1 / ratio | 1.0% | 2.0% (kNN) |
model.hidden 256: 6 laws
| uniform 0.1-0.9, stratified, 1 / ratio | 3.0% | 4.0% (kNN) |
<!-- end -->
"""


@pytest.fixture
def law_figure(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.delitem(sys.modules, "law_tables", raising=False)
    import law_figure

    return law_figure


def test_regrets_are_those_of_the_page(law_figure):
    found = law_figure.regrets(PAGE)
    assert found == {
        "worm_neuron": ({0.9: 42.4}, 1.3),
        "digits": ({0.5: 7.4, 0.25: 22.5}, 14.0),
    }
    assert list(found) == ["worm_neuron", "digits"]


def test_the_published_page_is_drawn(law_figure, monkeypatch, tmp_path):
    page, picture = ROOT / "docs" / "results.md", tmp_path / "regrets.png"
    monkeypatch.setattr("sys.argv", ["law_figure.py", str(page), str(picture)])
    law_figure.main()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(law_figure.regrets(page.read_text())) >= 15
