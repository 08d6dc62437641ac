"""Issue 19, item 5: embed and predict leave out broken files and say so."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import r2mae
from r2mae.cli.main import main
from tests.conftest import DEMO, ROOT, TINY

FINETUNE = ROOT / "recipes" / "vision" / "digits_finetune.yaml"
SHORT = (
    "data={card: image_folder, root: images, image_size: 8, channels: 1}",
    "data.held_out=0.3",
    "schedule={steps: 2}",
)
WATCH = "watch={samples: 8, knn: false, linear_probe: false}"


def with_settings(*settings):
    return [part for one in settings for part in ("--set", one)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a pretrained and a fine-tuned run, and images of which one is broken."""
    folder = tmp_path_factory.mktemp("inference")
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(30):
            file = folder / "images" / split / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (9, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = with_settings(*TINY, *SHORT, WATCH)
        assert main(["pretrain", str(DEMO), "--name", "run", *arguments]) == 0
        tuned = (
            "model={encoder: vit_tiny_patch16_224, patch_size: 2, width: 16, depth: 1, "
            "heads: 2, init_from: null}",
            "repeat={seeds: 1}",
            "batch={global_samples: 8}",
            "watch={samples: 8}",
        )
        arguments = with_settings(*SHORT, *tuned)
        assert main(["finetune", str(FINETUNE), "--name", "tuned", *arguments]) == 0
    (folder / "images/test/a/2.png").write_bytes(b"no image")
    (folder / "images/test/b/5.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("data", ["test", "images/test"])
@pytest.mark.parametrize(
    ("verb", "run", "output"),
    [
        ("embed", "runs/run", "out.npy"),
        ("embed", "runs/run", "out.parquet"),
        ("predict", "runs/tuned/labels_all/seed_0", "out.csv"),
    ],
)
def test_issue_19_5_broken_files_are_left_out_and_reported(
    runs, monkeypatch, capsys, verb, run, output, data
):
    monkeypatch.chdir(runs)
    assert main([verb, run, data, "-o", output, "--json"]) == 3
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["samples"] == 28
    broken = ["images/test/a/2.png", "images/test/b/5.png"]
    assert result["skipped_samples"] == broken
    assert f"left out: 2 unreadable samples, {', '.join(broken)}" in printed.err
    names = {
        "out.npy": lambda: pd.read_csv("out.names.csv")["name"],
        "out.parquet": lambda: pd.read_parquet("out.parquet")["name"],
        "out.csv": lambda: pd.read_csv("out.csv")["name"],
    }[output]()
    assert len(names) == 28
    assert not set(broken) & set(names)


def test_without_broken_files_the_exit_code_is_0(runs, monkeypatch):
    monkeypatch.chdir(runs)
    assert main(["embed", "runs/run", "train", "-o", "train_features.npy"]) == 0


def test_nothing_but_broken_files_is_an_error(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    broken = "images/test/a/2.png"
    assert main(["embed", "runs/run", broken, "-o", "none.npy"]) == 2
    said = capsys.readouterr().err
    assert "data must be right in at least half of 1 image, got 1 bad image: " in said
    assert not (runs / "none.npy").exists()


def test_tokens_of_broken_files_are_left_out(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    arguments = ["runs/run", "test", "-o", "tokens.npy", "--tokens", "--json"]
    assert main(["embed", *arguments]) == 3
    result = json.loads(capsys.readouterr().out)
    assert result["skipped_samples"] == ["images/test/a/2.png", "images/test/b/5.png"]
    tokens = np.load("tokens.npy")
    assert tokens.shape == (28, 16, 16)
    assert (result["samples"], result["tokens"], result["features"]) == (28, 448, 16)
    assert main(["embed", "runs/run", "test", "-o", "mean.npy", "--pool", "mean"]) == 3
    np.testing.assert_allclose(tokens.mean(axis=1), np.load("mean.npy"), atol=1e-6)
    assert pd.read_csv("tokens.names.csv").equals(pd.read_csv("mean.names.csv"))


def refused(capsys, *arguments):
    """The line of a command that bad input stops."""
    assert main(list(arguments)) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_bad_read_outs_are_refused_in_one_line(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    embed = ("embed", "runs/run", "train", "-o")
    for arguments, rule in (
        ((*embed, "x.npy", "--tokens", "--pool", "cls"), "--pool must not be given"),
        ((*embed, "x.parquet", "--tokens"), "must be a .npy or .npz file"),
        ((*embed, "x.npz"), "must be a .npy or .parquet file"),
        ((*embed, "x.npy", "--layer", "9"), "--layer must be 1 to 2, or -1 to -2"),
        (("evaluate", "runs/run", "--task", "knn", "--layer", "-3"), "got -3. Use"),
    ):
        assert rule in refused(capsys, *arguments)
    assert not list(runs.glob("x.*"))
    assert not list(runs.glob(".writing_*"))
    for value in ("0", "first", "1.5", "--1"):
        with pytest.raises(SystemExit):
            main(["embed", "runs/run", "train", "-o", "x.npy", f"--layer={value}"])
        assert "must be last, auto, or a layer such as 3 or -2" in (
            capsys.readouterr().err
        )


def test_embed_and_python_read_the_same_layer(runs, monkeypatch):
    monkeypatch.chdir(runs)
    options = ["--layer", "1", "--pool", "concat"]
    assert main(["embed", "runs/run", "train", "-o", "layer.npy", *options]) == 0
    run = r2mae.load("runs/run")
    files = pd.read_csv("layer.names.csv")["name"]
    images = [Image.open(file) for file in files]
    features = run.embed(images, layer=1, pool="concat")
    np.testing.assert_allclose(features, np.load("layer.npy"), atol=1e-6)
    tokens = np.stack(run.embed_tokens(images, layer=1))
    np.testing.assert_allclose(tokens.reshape(30, -1), features, atol=1e-6)
    with pytest.raises(r2mae.InputError, match="layer must be last, or a number"):
        run.embed(images, layer="auto")


def test_a_fine_tuned_run_is_read_from_a_layer(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    tuned = "runs/tuned/labels_all/seed_0"
    options = ["--layer", "-1", "--json"]
    assert main(["embed", tuned, "train", "-o", "tuned.npy", *options]) == 0
    assert json.loads(capsys.readouterr().out)["layer"] == 1
