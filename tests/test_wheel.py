"""The wheel: it holds recipes and cards, and runs unpacked, from an empty folder, without the repository."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT

pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(out),
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def r2mae(wheel, tmp_path_factory):
    """The command of the unpacked wheel, run in an empty folder."""
    site, empty = wheel.parent / "site", tmp_path_factory.mktemp("empty")
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "r2mae", *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            timeout=800,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def tracked(*patterns):
    """Files that git knows, relative to the repository."""
    command = ["git", "ls-files", "--", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_it_holds_the_package_its_recipes_and_its_cards_and_nothing_else(wheel):
    files = {
        name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name
    }
    recipes = {f"r2mae/{name}" for name in tracked("recipes/*.yaml")}
    cards = {
        name.replace("data/", "r2mae/cards/", 1) for name in tracked("data/*.yaml")
    }
    assert recipes
    assert cards
    assert files == tracked("r2mae/*.py", "r2mae/py.typed") | recipes | cards


def test_its_metadata_names_the_extras_and_the_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith("/METADATA"))
    lines = archive.read(info).decode().splitlines()
    extras = {
        line.split(": ")[1] for line in lines if line.startswith("Provides-Extra")
    }
    assert extras >= {"vision", "cell", "language", "dna", "all"}
    assert "License-Expression: MIT" in lines
    assert info.replace("METADATA", "licenses/LICENSE") in archive.namelist()


def test_it_runs_from_an_empty_folder(r2mae):
    listed = json.loads(r2mae("recipe", "list", "--json"))
    names = {
        name[len("recipes/") : -len(".yaml")] for name in tracked("recipes/*.yaml")
    }
    studies = {name for name in names if name.startswith("studies/")}
    assert set(listed["recipes"]) == names - studies
    assert {f"studies/{name}" for name in listed["studies"]} == studies
    shown = r2mae("recipe", "show", "digits_demo")
    assert shown == (ROOT / "recipes/vision/digits_demo.yaml").read_text()
    settings = ("schedule={steps: 20}", "watch={samples: 16, pictures: false}")
    options = [part for one in settings for part in ("--set", one)]
    assert "runs/digits_demo/demo.json" in r2mae("demo", *options)
