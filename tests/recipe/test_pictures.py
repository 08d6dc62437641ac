"""Pictures that a run stores when it ends, and when a report uses them."""

import json
import shutil

import pytest

import r2mae.recipe.pictures as pictures
import r2mae.recipe.run
from r2mae.cli.main import main
from r2mae.recipe.run import load_run
from r2mae.report.pictures import pictures_section
from r2mae.report.record import read_records
from tests.conftest import DEMO, overrides


def pretrain(*settings):
    arguments = overrides("schedule.steps=4", *settings)
    assert main(["pretrain", str(DEMO), "--name", "a", *arguments]) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run with pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        pretrain("watch.pictures=true")
    return folder / "runs" / "a"


@pytest.fixture
def run(trained, scratch):
    shutil.copytree(trained, scratch / "a")
    return scratch / "a"


def test_a_report_shows_what_the_run_stored_and_loads_no_model(run, monkeypatch):
    loaded = load_run(run)
    expected = loaded.wing.draw_samples(loaded)
    monkeypatch.setattr(r2mae.recipe.run, "load_run", None)  # calling it fails
    section = pictures_section(read_records([str(run)]))
    assert expected in section
    assert section.count("data:image/png;base64") == 9


DAMAGED = {"cut off": "{", "a list": "[1]", "a number": "3", "no text": "null"}


@pytest.mark.parametrize("change", ["weights", "version", "html", *DAMAGED])
def test_pictures_of_anything_else_are_drawn_again(run, change, monkeypatch):
    path = run / "pictures" / "held_out.json"
    stored = json.loads(path.read_text())
    stored["html"] = None if change == "html" else "outdated"
    if change == "weights":
        stored["drawn_from"]["sha256"]["model.safetensors"] = "other"
    if change == "version":
        monkeypatch.setattr(pictures, "__version__", "9.9")
    path.write_text(DAMAGED.get(change, json.dumps(stored)))
    records = read_records([str(run)])
    section = pictures_section(records)
    assert "outdated" not in section
    assert section.count("data:image/png;base64") == 9
    (record,) = records
    assert pictures.stored_pictures(record.folder, record.manifest) in section


def test_a_run_draws_nothing_where_its_recipe_has_no_pictures(scratch):
    pretrain()
    assert not (scratch / "runs/a/pictures").exists()


def test_pictures_that_cannot_be_drawn_are_a_line_and_no_error(
    run, monkeypatch, capsys
):
    loaded = load_run(run)

    def fail(self, loaded):
        raise RuntimeError("CUDA out of memory\nof GPU 0")

    monkeypatch.setattr(type(loaded.wing), "draw_samples", fail)
    pictures.store_pictures(loaded.recipe, loaded.folder)
    printed = capsys.readouterr().err.strip()
    assert printed.endswith("no pictures stored for reports: CUDA out of memory")
