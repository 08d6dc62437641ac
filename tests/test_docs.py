"""Code that documentation shows is code that runs."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import ROOT

# <!-- path of a file -->, then a fenced block: a part of that file, or all of it.
QUOTED = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TOY = ROOT / "tests" / "modalities" / "toy_wing"


def page_name(page):
    return str(page.relative_to(ROOT).with_suffix(""))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_quoted_code_is_that_of_the_file(page):
    for path, code in QUOTED.findall(page.read_text()):
        assert code in (ROOT / path).read_text(), f"{page.name} quotes {path}"


def test_the_page_on_modalities_shows_every_line_of_the_wing():
    text = (ROOT / "docs" / "adding-a-modality.md").read_text()
    quoted = defaultdict(set)
    for path, code in QUOTED.findall(text):
        quoted[ROOT / path].update(code.splitlines())
    files = {path for path in TOY.rglob("*.*") if path.suffix != ".pyc"}
    for path in filter(Path.is_file, files):
        missing = set(path.read_text().splitlines()) - quoted[path] - {""}
        assert not missing, f"{path.name}: {missing}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=page_name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


# Paths in running text, of the repository or of the package: `scripts/kills.py`.
PATH = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|sh|yaml|md))`")
OVERVIEWS = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/results.md")


@pytest.mark.parametrize("page", OVERVIEWS)
def test_paths_in_text_exist(page):
    paths = set(PATH.findall((ROOT / page).read_text()))
    roots = (ROOT, ROOT / "r2mae")
    missing = [p for p in paths if not any((root / p).exists() for root in roots)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_to_sections_lead_to_headings(page):
    for target, section in re.findall(
        r"\]\(([\w./-]+\.md)#([\w-]+)\)", page.read_text()
    ):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target).read_text(), re.M)
        slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
        assert section in slugs, f"{page.name} links {target}#{section}"
