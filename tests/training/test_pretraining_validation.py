import re

import numpy as np
import pytest
import torch
from PIL import Image

from r2mae.data.source import Part
from r2mae.evaluation.features import extract
from r2mae.evaluation.inference import inference
from r2mae.metrics.rank import effective_rank
from r2mae.models.frozen_mask import frozen_mask
from r2mae.schema.recipe import HardwareSection
from tests.training.runs import metric, prepare, train

EVERYTHING = (
    "watch.linear_probe=true",
    "watch.pictures=true",
    "schedule.steps=4",
    "watch.every_steps=4",
)


def test_everything_is_measured(scratch):
    folder = train("run", *EVERYTHING)
    for name in (
        "validation/loss",
        "validation/loss_at_0.25",
        "validation/loss_at_0.75",
    ):
        assert metric(folder, name)[4] > 0
    assert 0 <= metric(folder, "probe/knn")[4] <= 1
    assert 0 <= metric(folder, "probe/linear")[4] <= 1
    assert 1 <= metric(folder, "probe/effective_rank")[4] <= 16
    picture = np.asarray(Image.open(folder.pictures / "step_4.png"))
    caption = 16
    assert picture.shape == (6 * 98 - 2 + caption, 7 * 98 - 2, 3)
    assert len(np.unique(picture)) > 10


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("validation", "validation/loss"),
        ("knn", "probe/knn"),
        ("effective_rank", "probe/effective_rank"),
    ],
)
def test_each_has_its_switch(scratch, switch, gone):
    folder = train("run", *EVERYTHING, f"watch.{switch}=false")
    assert metric(folder, gone) == {}
    assert metric(folder, "probe/linear") != {}


def test_labels_of_all_samples_are_not_looked_up(scratch, monkeypatch):
    def refuse(part):
        raise AssertionError("the labels of a whole part")

    monkeypatch.setattr(Part, "labels", property(refuse))
    assert metric(train("run", *EVERYTHING), "probe/knn") != {}


def test_what_training_starts_from_is_measured(scratch):
    before = metric(train("run", "schedule.steps=4"), "validation/loss")
    assert min(before) == 2
    after = metric(
        train("more", "schedule.steps=4", "model.init_from=runs/run"), "validation/loss"
    )
    assert after[0] == before[4]
    assert after[4] < after[0]


def test_no_pictures_when_switched_off(scratch):
    assert not train("run", "schedule.steps=3").pictures.exists()


def test_measurements_are_printed(scratch, capsys):
    train("run", *EVERYTHING)
    lines = [
        line for line in capsys.readouterr().err.splitlines() if "validation" in line
    ]
    assert len(lines) == 1
    assert re.fullmatch(
        r"step 4/4: validation loss [\d.]+ \([\d.]+ at 0.25, [\d.]+ at 0.5, "
        r"[\d.]+ at 0.75\), effective rank [\d.]+, kNN accuracy [\d.]+, linear-probe accuracy [\d.]+",
        lines[0],
    )


def test_best_needs_validation(scratch):
    folder = train("run", "watch.validation=false")
    assert folder.pointer("best") is None
    assert folder.pointer("last").name == "step_20"


def test_validation_masks_do_not_know_the_run(scratch):
    one, two = (
        prepare(name, f"seed={seed}")[0].module
        for name, seed in (("one", 1), ("two", 2))
    )
    batch = {
        "images": torch.zeros(3, 1, 8, 8, dtype=torch.uint8),
        "indices": torch.tensor([4, 5, 6]),
    }
    masks = [frozen_mask(module.model, batch, 0.5).is_masked for module in (one, two)]
    assert torch.equal(*masks)
    alone = {"images": batch["images"][1:2], "indices": batch["indices"][1:2]}
    assert torch.equal(frozen_mask(one.model, alone, 0.5).is_masked[0], masks[0][1])


def test_measuring_does_not_change_training(scratch):
    often, never = (
        train("often", "watch.every_steps=1"),
        train("never", "watch.every_steps=1000"),
    )
    assert metric(often, "train/loss") == metric(never, "train/loss")


def test_workers_read_the_same_held_out_samples(scratch):
    settings = ("schedule.steps=4", "watch.every_steps=4", "watch.samples=70")
    alone, ahead = (
        train(f"with_{workers}", *settings, f"hardware.workers={workers}")
        for workers in (0, 2)
    )
    one, two = (
        sorted(re.findall(r"(?m)^\d+,(?:validation|probe)/.*", text))
        for text in (alone.metrics.read_text(), ahead.metrics.read_text())
    )
    assert len(one) > 5
    assert one == two


def test_validation_is_in_the_precision_of_evaluation(scratch):
    settings = ("schedule.steps=4", "watch.samples=40", "hardware.precision=bf16-mixed")
    training, _ = prepare("run", *settings)
    training.run()
    module = training.module
    callback = next(
        one for one in training.trainer.callbacks if hasattr(one, "held_out")
    )
    rows = np.arange(40)
    seen = []
    for precision in ("32-true", "bf16-mixed"):
        with inference(HardwareSection(), precision=precision):
            features = extract(
                module.model, callback.held_out, rows=rows, batch_size=16
            )
        seen.append(effective_rank(features.astype(np.float64)))
    exact, mixed = seen
    assert module.latest_metrics["probe/effective_rank"] == mixed != exact
