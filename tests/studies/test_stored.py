"""What may change when a study continues in its folder."""

import json

import pytest

from r2mae.errors import InputError
from r2mae.schema.study import StudySection
from r2mae.studies.stored import store_study
from tests.studies.small import LAWS

MEASURE = {
    "ratios": [0.25],
    "probes": ["knn"],
    "tasks": {"own": {"task": "masked", "value": "a"}},
}


def stored(**measure):
    """The document of a study with changes of its measurements."""
    section = {"recipe": "r", "laws": LAWS, "measure": MEASURE | measure}
    study = StudySection.model_validate_json(json.dumps(section))
    return study.model_dump(mode="json") | {"base": {}, "finetuning": None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"draws": 3}, r"its measure\.draws differs\. Choose another --name"),
        ({"ratios": [0.5]}, r"its measure\.ratios differs"),
        (
            {"tasks": {"own": {"task": "masked", "value": "b"}}},
            r"measure\.tasks\.own must stay the same .* Give the changed task another name",
        ),
    ],
)
def test_a_measurement_that_changes_under_its_name_is_refused(
    tmp_path, changed, message
):
    store_study(tmp_path, stored())
    trial = tmp_path / "trials" / "one"
    trial.mkdir(parents=True)
    (trial / "measurements.json").write_text('{"own": {}}')
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(InputError, match=message):
        store_study(tmp_path, stored(**changed))
    assert (tmp_path / "study.json").read_bytes() == before


def test_laws_and_tasks_that_were_left_out_are_remembered(tmp_path):
    """A law may not come back as another one."""
    store_study(tmp_path, stored())
    fewer = stored(tasks={}, hidden=[0.0, 0.5])
    fewer["laws"] = dict(list(LAWS.items())[:2])
    store_study(tmp_path, fewer)
    kept = json.loads((tmp_path / "study.json").read_text())
    assert list(kept["laws"]) == list(LAWS)
    assert list(kept["measure"]["tasks"]) == ["own"]
    back = stored()
    back["laws"] = LAWS | {"stratified": LAWS["fixed 0.25"]}
    with pytest.raises(InputError, match="law 'stratified' must stay the same"):
        store_study(tmp_path, back)


def test_another_base_is_refused(tmp_path):
    store_study(tmp_path, stored())
    with pytest.raises(InputError, match="its recipe or set differs"):
        store_study(tmp_path, stored() | {"base": {"seed": 1}})


def test_a_task_that_was_never_measured_can_be_corrected(tmp_path):
    store_study(tmp_path, stored())
    corrected = {"own": {"task": "masked", "value": "b"}}
    store_study(tmp_path, stored(tasks=corrected))
    kept = json.loads((tmp_path / "study.json").read_text())["measure"]["tasks"]
    assert kept["own"]["value"] == "b"
