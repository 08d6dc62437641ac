"""`evaluate` reads the layer and the pooling that a user names, or chooses a layer."""

import json

import numpy as np
import pytest
from PIL import Image

from r2mae.cli.main import main
from tests.conftest import DEMO, overrides

DATA = "data={card: image_folder, root: images, image_size: 8, channels: 1}"
SHORT = ("schedule={steps: 2}", "watch={samples: 8, knn: false, linear_probe: false}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a pretraining run on 30 random images of two classes."""
    folder = tmp_path_factory.mktemp("read_out")
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(30):
            file = folder / "images" / split / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = overrides(DATA, "data.held_out=0.3", *SHORT)
        assert main(["pretrain", str(DEMO), "--name", "run", *settings]) == 0
    return folder


def evaluate(capsys, *options):
    """The JSON of kNN and linear probes of the pretrained run."""
    task = ("--task", "knn,linear_probe", "--json")
    assert main(["evaluate", "runs/run", *task, *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_reads_a_layer_and_a_pooling(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    default = evaluate(capsys, "--baselines")
    assert not {"layer", "pool"} & set(default)
    last = evaluate(capsys, "--baselines", "--layer", "-1")
    assert last["layer"] == 2
    assert last["tasks"] == default["tasks"]
    other = evaluate(
        capsys, "--layer", "1", "--pool", "concat", "--baselines", "--hidden", "0,0.5"
    )
    assert (other["layer"], other["pool"]) == (1, "concat")
    for row in other["tasks"]["knn"]["rows"]:
        assert set(row["scores"]) == {"pretrained", "untrained", "raw input"}


def test_auto_reports_the_score_of_each_layer(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    result = evaluate(capsys, "--layer", "auto", "--pool", "cls")
    choice = result["layer_choice"]
    assert set(choice["accuracy"]) == {"1", "2"}
    assert (choice["trained"], choice["held_out"]) == (24, 6)
    assert result["layer"] == choice["layer"]
    chosen = evaluate(capsys, "--layer", str(choice["layer"]), "--pool", "cls")
    assert chosen["tasks"] == result["tasks"]
    assert main(["evaluate", "runs/run", "--task", "knn", "--layer", "auto"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "the highest accuracy on 6 held-out samples of the training split" in first
    assert second.startswith("  layer 1: knn 0.")
