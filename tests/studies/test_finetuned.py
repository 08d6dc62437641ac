import json

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.schema.document import load_document
from r2mae.studies.plan import load_study
from r2mae.studies.trial import read_measurements, run_trial
from tests.studies.small import write_study

FINETUNE = {
    "recipe": "vision/digits_finetune",
    "set": {"schedule": {"steps": 2, "warmup_steps": 1}, "batch.global_samples": 16},
    "labels_per_class": [5],
}
MEASURE = {"ratios": [0.5], "probes": [], "finetune": FINETUNE}


def _study(folder, **changes):
    return load_study(str(write_study(folder, measure=MEASURE | changes)))


def test_a_trial_is_fine_tuned_from_its_own_encoder_and_seed(scratch):
    study = _study(scratch)
    trial = study.trials[-1]
    run_trial(study, trial)
    path = study.path(trial)
    recipe = load_document(path / "finetuned" / "labels_5" / "recipe.yaml")
    assert (recipe["model"]["init_from"], recipe["seed"]) == (str(path), trial.seed)
    assert recipe["model"]["width"] == trial.recipe.model.width
    measured = read_measurements(path)["fine-tuned, 5 labels per class"]
    assert measured.better == "higher"
    assert measured.items.shape == (360,)
    assert measured.value == pytest.approx(float(np.mean(measured.items)))


def test_a_finished_fine_tuning_run_is_not_trained_again(scratch):
    study = _study(scratch)
    trial = study.trials[0]
    run_trial(study, trial)
    path = study.path(trial)
    status = path / "finetuned" / "labels_5" / "run.json"
    before = json.loads(status.read_text())["id"]
    (path / "measurements.json").unlink()
    run_trial(study, trial)
    assert json.loads(status.read_text())["id"] == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "vision/digits_demo"}, "must fine-tune, got task pretrain"),
        ({"recipe": "dna/gue_finetune"}, "must be of modality vision, got dna"),
        (
            {
                "set": {"tune": {"target": "regression"}, "repeat": {}},
                "labels_per_class": ["all"],
            },
            "must classify",
        ),
        ({"set": {"tune.nonsense": 1}}, "nonsense"),
    ],
)
def test_bad_recipes_are_one_line_before_anything_trains(scratch, changes, message):
    with pytest.raises(InputError, match=message) as error:
        _study(scratch, finetune=FINETUNE | changes)
    assert "\n" not in str(error.value)


def test_too_few_labels_are_refused_before_anything_trains(scratch):
    study = _study(scratch, finetune=FINETUNE | {"labels_per_class": [10_000]})
    with pytest.raises(InputError, match="10000|10,000"):
        study.check_data()
