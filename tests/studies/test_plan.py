"""What a study file becomes before anything trains."""

import json

import pytest

from r2mae.errors import InputError
from r2mae.studies.plan import load_study
from tests.conftest import ROOT
from tests.studies.small import write_study


@pytest.mark.parametrize("key", ["devices", "nodes"])
def test_trials_on_several_devices_are_refused(scratch, key):
    """The ranks of one trial would have been workers that run others."""
    path = str(write_study(scratch))
    with pytest.raises(InputError, match=f"small: hardware.{key} must be 1 in a study"):
        load_study(path, [f"hardware.{key}=2"])
    finetune = {
        "recipe": str(ROOT / "recipes/vision/digits_finetune.yaml"),
        "set": {f"hardware.{key}": 2},
    }
    measure = {"ratios": [0.25], "probes": [], "finetune": finetune}
    with pytest.raises(InputError, match=f"measure.finetune.set: hardware.{key}=1"):
        load_study(str(write_study(scratch, measure=measure)))


def test_laws_are_measured_on_as_many_samples(scratch):
    """Costs of a step differ between laws, and with them what `make_plan` would choose."""
    path = write_study(scratch)
    document = json.loads(path.read_text())
    del document["set"]["watch.samples"]
    path.write_text(json.dumps(document))
    for trial in load_study(str(path)).distinct_trials:
        assert trial.recipe.watch.samples == 1000


def test_a_study_begun_without_a_number_of_samples_continues(scratch):
    """As older versions stored it; they chose 1000 in all studies of r2mae."""
    path = write_study(scratch)
    document = json.loads(path.read_text())
    del document["set"]["watch.samples"]
    path.write_text(json.dumps(document))
    study = load_study(str(path))
    study.start()
    file = study.folder / "study.json"
    stored = json.loads(file.read_text())
    stored["base"]["watch"]["samples"] = None
    file.write_text(json.dumps(stored))
    load_study(str(path)).start()
    assert json.loads(file.read_text())["base"]["watch"]["samples"] == 1000
