"""docs/tutorials: every block runs, prints what the page shows, and ends in a figure."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.tutorial_page import mismatch, read_blocks, run_blocks

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial_runs_and_prints_what_it_shows(page, scratch):
    plt.switch_backend("Agg")  # also closes the figures of the page before
    text = page.read_text()
    for block, printed in run_blocks(read_blocks(text)):
        if block.language == "text":
            assert not (difference := mismatch(block.code, printed)), difference
    figures = re.findall(r'savefig\("([^"]+)"', text)
    assert figures
    for figure in figures:
        pixels = np.asarray(Image.open(scratch / figure).convert("L"))
        assert pixels.std() > 5, f"{figure} is blank"
        assert f"]({figure})" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial_is_short_and_shows_both_ways(page):
    text = page.read_text()
    assert len(text.splitlines()) <= 135
    languages = {block.language for block in read_blocks(text)}
    assert languages == {"sh", "python", "yaml", "text"}
    commands = " ".join(re.findall(r"^r2mae (\w+)", text, re.M))
    assert {"check", "pretrain", "evaluate", "embed"} <= set(commands.split())
    assert "r2mae.load(" in text
    assert "r2mae.pretrain(" in text


PRINTED = "a  1,365 cells\nloss 2.250, 20 steps in 3.1 s\nend\n"


@pytest.mark.parametrize(
    "expected",
    [
        PRINTED,
        "a 1,365 cells\n...\nend\n",
        "...\nloss 2.100, 20 steps in ...\nend\n",
        "a 1,365 cells\n...\n",
    ],
)
def test_output_may_differ_in_decimals_and_where_elided(expected):
    assert not mismatch(expected, PRINTED)


@pytest.mark.parametrize(
    "expected",
    [
        "a 1,366 cells\n...\n",
        "...\nloss 1.100, 20 steps in ...\nend\n",
        "a 1,365 cells\nend\n",
        "a 1,365 cells\n",
        "...\nend\n...\na 1,365 cells\n",
        "",
    ],
)
def test_output_must_have_the_lines_and_numbers_shown(expected):
    assert mismatch(expected, PRINTED)
