"""TensorBoard's event files, read back, and loggers that fail."""

import io
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image
from yaml import safe_load

from r2mae.recipe.load import load_recipe
from r2mae.schema.recipe import recipe_document
from r2mae.training import guarded_logger
from r2mae.training.metric_log import LOSS_TABLE, PICTURE, read_metrics
from r2mae.training.run_folder import flatten
from tests.conftest import DEMO, ROOT
from tests.training.runs import train

pytest.importorskip("tensorboard")

LOG = "log=[csv, tensorboard]"
SHORT = ("schedule.steps=6", "watch.every_steps=3")


def read_events(folder):
    """({step: {metric: value}}, {step: table}) that TensorBoard shows; no step twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder.path / "tensorboard")).Reload()
    scalars, tables = {}, {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            row = scalars.setdefault(event.step, {})
            assert name not in row
            row[name] = event.value
    for event in events.Tensors(f"{LOSS_TABLE}/text_summary"):
        assert event.step not in tables
        tables[event.step] = event.tensor_proto.string_val[0].decode()
    return scalars, tables


def test_a_continued_run_has_each_point_of_metrics_csv_once(scratch):
    folder = train("run", *SHORT, LOG)
    for path in folder.saved()[1:]:  # as after a kill past this checkpoint
        shutil.rmtree(path)
    folder.point("last", folder.saved()[0])
    train("run", *SHORT, LOG)
    assert len(list((folder.path / "tensorboard").iterdir())) == 2
    scalars, tables = read_events(folder)
    metrics = read_metrics(folder)
    assert scalars.keys() == metrics.keys()
    for step, row in metrics.items():
        assert scalars[step] == pytest.approx(row, rel=1e-6)
    assert tables.keys() == {3, 6}
    rows = [line.split("|")[1:3] for line in tables[6].splitlines()[2:]]
    losses = {float(ratio): float(loss) for ratio, loss in rows}
    expected = {ratio: metrics[6][f"validation/loss_at_{ratio:g}"] for ratio in losses}
    assert len(losses) == 3
    assert losses == pytest.approx(expected, rel=1e-5)


def test_pictures_of_a_continued_run_are_there_once(scratch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    drawn = (*SHORT, "watch.pictures=true", LOG)
    folder = train("run", *drawn)
    for path in folder.saved()[1:]:
        shutil.rmtree(path)
    folder.point("last", folder.saved()[0])
    train("run", *drawn)
    images = EventAccumulator(str(folder.path / "tensorboard")).Reload().Images(PICTURE)
    assert [image.step for image in images] == [3, 6]
    shown = np.asarray(Image.open(io.BytesIO(images[-1].encoded_image_string)))
    drawn_pixels = np.asarray(Image.open(folder.pictures / "step_6.png"))
    assert np.array_equal(shown, drawn_pixels)


def test_metrics_from_before_tensorboard_was_turned_on_are_written_too(scratch):
    folder = train("run", *SHORT)
    for path in folder.saved()[1:]:
        shutil.rmtree(path)
    folder.point("last", folder.saved()[0])
    train("run", *SHORT, LOG)
    assert read_events(folder)[0].keys() == read_metrics(folder).keys()


@pytest.mark.parametrize("method", ["begin", "log_metrics", "commit", "close"])
def test_a_logger_that_fails_is_one_warning_and_the_run_goes_on(
    method, scratch, monkeypatch, capfd
):
    from r2mae.training.tensorboard_run import TensorBoardRun

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardRun, method, fail)
    folder = train("run", *SHORT, LOG)
    lines = capfd.readouterr().err.splitlines()
    warnings = [line for line in lines if "log: " in line]
    assert len(warnings) == 1
    assert "log: tensorboard failed, and is off" in warnings[0]
    assert "No space left on device" in warnings[0]
    assert 6 in read_metrics(folder)


def test_only_rank_zero_logs(monkeypatch):
    rank_zero_only = guarded_logger.lightning.utilities.rank_zero_only
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    guarded_logger.GuardedLogger("tensorboard", None).begin(0, {})


def test_parameters_of_the_sweep_are_keys_of_the_recipe():
    sweep = safe_load((ROOT / "scripts" / "sweep.yaml").read_text())
    assert "${args_no_hyphens}" in sweep["command"]
    parameters = sweep["parameters"]
    choices = [
        parameter.get("values") or [parameter["min"], parameter["max"]]
        for parameter in parameters.values()
    ]
    for values in itertools.product(*choices):
        chosen = dict(zip(parameters, values, strict=True))
        recipe = load_recipe(
            str(DEMO), [f"{name}={value}" for name, value in chosen.items()]
        )
        written = flatten(recipe_document(recipe))
        assert {name: written[name] for name in chosen} == chosen
