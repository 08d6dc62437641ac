"""Code that documentation shows is code that runs."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from r2mae.recipe.load import parse_recipe
from r2mae.studies.plan import load_study
from tests.conftest import ROOT

# <!-- path of a file -->, then a fenced block: a part of that file, or all of it.
QUOTED = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
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


def shown_documents(key):
    """(page, document) of the recipes and studies that pages show: those with the key."""
    for page in (*PAGES, ROOT / "README.md"):
        for text in YAML.findall(page.read_text()):
            is_of_toy_wing = "modality: table" in text  # which only its page registers
            if re.search(f"^{key}:", text, re.M) and not is_of_toy_wing:
                yield pytest.param(text, id=page_name(page))


@pytest.mark.parametrize("text", shown_documents("laws"))
def test_studies_that_pages_show_are_valid(tmp_path, text):
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    assert len(load_study(str(file)).trials) > 1


@pytest.mark.parametrize("text", shown_documents("task"))
def test_recipes_that_pages_show_are_valid(text):
    assert parse_recipe(yaml.safe_load(text), "shown").task in ("pretrain", "finetune")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_to_sections_lead_to_headings(page):
    for target, section in re.findall(
        r"\]\(([\w./-]+\.md)#([\w-]+)\)", page.read_text()
    ):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target).read_text(), re.M)
        slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
        assert section in slugs, f"{page.name} links {target}#{section}"
