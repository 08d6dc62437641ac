import pytest

from r2mae.recipe.replay import replay_step
from tests.training.runs import spoil


@pytest.fixture
def spoiled(scratch, request):
    return spoil("run", getattr(request, "param", "stop"))


def test_the_first_module_is_named(spoiled):
    report = replay_step(str(spoiled.path))
    assert report["step"] == 7
    assert report["from"] == "step_6"
    assert report["finding"]["module"] == "encoder.blocks.1.mlp.fc1"
    assert report["finding"]["inputs_finite"]
    assert report["finding"]["weights_not_finite"] == [
        "encoder.blocks.1.mlp.fc1.weight"
    ]
    assert report["weights"] == ["encoder.blocks.1.mlp.fc1.weight"]
    assert report["loss"] == report["recorded"]["loss"]
    assert [sample["position"] for sample in report["samples"]] == list(
        range(96, 104)
    )  # of the first micro-batch
    assert report["samples"][0]["sample"].startswith("digit ")


@pytest.mark.parametrize("spoiled", ["skip"], indirect=True)
def test_a_skipped_step_is_met_again_by_training_up_to_it(spoiled):
    for step, start in (
        (9, "step_6"),
        (None, "step_16"),
    ):  # the best one; the one kept for the last such step
        report = replay_step(str(spoiled.path), step)
        assert (report["step"], report["from"]) == (step or 17, start)
        assert report["finding"]["module"] == "encoder.blocks.1.mlp.fc1"
