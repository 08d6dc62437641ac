"""`r2mae finetune` on digits: tables, continuation, what it starts from, two processes, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from r2mae.cli import finetune as finetuning
from r2mae.cli.main import main
from r2mae.data.source import Chosen
from r2mae.recipe import train as training
from r2mae.recipe.assembly import build_model, open_split, open_training_data
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, ROOT, overrides, r2mae
from tests.training.runs import largest_difference, metric, weights

RECIPE = ROOT / "recipes" / "vision" / "digits_finetune.yaml"
SHAPE = ("model.width=16", "model.heads=2")  # of the tiny run that tests pretrain
SMALL = (
    *SHAPE,
    "schedule={steps: 12, warmup_steps: 2}",
    "watch={every_steps: 6, samples: 40}",
    "checkpoint.every_steps=4",
    "batch.global_samples=16",
    "repeat={seeds: 1, labels_per_class: [5]}",
)
SCRATCH = "model.init_from=null"


def settings(*more):
    return [part for setting in (*SMALL, *more) for part in ("--set", setting)]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A folder with runs/digits_demo, where the recipe expects it."""
    with pytest.MonkeyPatch.context() as patch:
        here = tmp_path_factory.mktemp("finetune")
        patch.chdir(here)
        patch.setenv("HF_HUB_OFFLINE", "1")
        assert (
            main(
                [
                    "pretrain",
                    str(DEMO),
                    *overrides("schedule.steps=4"),
                    "--name",
                    "digits_demo",
                ]
            )
            == 0
        )
        yield here


@pytest.fixture
def call(pretrained, capfd):
    def run(*arguments, subcommand="finetune"):
        capfd.readouterr()
        try:
            code = main([subcommand, str(RECIPE), *map(str, arguments)])
        except SystemExit as ending:
            code = ending.code
        out, err = capfd.readouterr()
        return code, out, err.strip().splitlines()

    return run


def test_a_signal_between_two_runs_stops_the_next_one(call, pretrained, monkeypatch):
    """SLURM's SIGUSR1: the default action would kill the command without a save."""
    single_run = finetuning.single_run

    def signal_before_the_second(recipe, table, count, number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return single_run(recipe, table, count, number)

    monkeypatch.setattr(finetuning, "single_run", signal_before_the_second)
    before = signal.getsignal(signal.SIGUSR1)
    options = ("--name", "stopped", *settings(SCRATCH), "--seeds", 2)
    code, _, errors = call(*options)
    assert code == 128 + signal.SIGUSR1, errors
    runs = Path("runs/stopped/labels_5")
    first, second = (RunFolder(runs / f"seed_{n}").read_status() for n in (0, 1))
    assert first["status"] == "finished"
    assert (second["status"], second["signal"]) == ("interrupted", signal.SIGUSR1)
    assert second["step"] == 1
    assert signal.getsignal(signal.SIGUSR1) == before
    monkeypatch.undo()
    assert call(*options)[0] == 0  # continues


def test_runs_of_a_table_have_ids_of_their_own_in_a_sweep(call, monkeypatch):
    ids, build = [], training.build_training

    def build_training(*arguments, **options):
        ids.append(options["run_id"])
        return build(*arguments, **options)

    monkeypatch.setattr(training, "build_training", build_training)
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    options = settings(SCRATCH, "schedule={steps: 2}")
    assert call("--name", "sweep_1", *options)[0] == 0
    assert ids == ["abc123"]
    assert call("--name", "sweep_2", *options, "--seeds", 2)[0] == 0
    _, first, second = ids
    assert first.startswith("abc123-sweep_2-labels_5-seed_0-")
    assert second.startswith("abc123-sweep_2-labels_5-seed_1-")


def test_a_table_of_seeds_and_labels(call, pretrained):
    options = (
        *settings("tune.label_smoothing=0.0"),
        "--name",
        "table",
        "--seeds",
        2,
        "--labels-per-class",
        "3,all",
    )
    code, out, _ = call(*options, "--json")
    assert code == 0
    result = json.loads(out)
    assert [row["labels_per_class"] for row in result["scores"]] == [3, "all"]
    assert result["classes"] == [str(digit) for digit in range(10)]
    for row in result["scores"]:
        assert len(row["seeds"]) == 2
        assert row["accuracy"] == pytest.approx(np.mean(row["seeds"]))
        assert 0 < row["half_width"] < 1
        for path, accuracy in zip(row["runs"], row["seeds"], strict=True):
            predicted, expected = np.load(Path(path) / "test_predictions.npy")
            assert len(expected) == 360
            assert (
                (predicted == expected).mean()
                == accuracy
                == RunFolder(path).read_status()["test"]["accuracy"]
            )
    assert json.loads(Path("runs/table/scores.json").read_text()) == result
    folder = RunFolder("runs/table/labels_3/seed_1")
    assert "\nseed: 1\n" in folder.recipe.read_text()
    assert metric(folder, "validation/accuracy").keys() == {6, 12}
    # Said again: nothing is trained, nothing is tested, the same answer.
    before = {
        path: path.stat().st_mtime_ns for path in Path("runs/table").rglob("*.npy")
    }
    code, again, lines = call(*options, "--json")
    assert json.loads(again) == result
    assert sum("finished at step 12" in line for line in lines) == 4
    assert before == {
        path: path.stat().st_mtime_ns for path in Path("runs/table").rglob("*.npy")
    }
    code, out, _ = call(*options)
    assert "3 labels per class" in out
    assert "2 seeds" in out


def test_against_another_table(call):
    options = ("--seeds", 2, "--labels-per-class", "3,5")
    assert call(*settings(SCRATCH), *options, "--name", "other")[0] == 0
    code, out, _ = call(
        *settings(), *options, "--name", "mine", "--against", "runs/other", "--json"
    )
    assert code == 0
    for row in json.loads(out)["scores"]:
        found = []
        for path in row["runs"]:
            (mine, truth), (other, same) = (
                np.load(Path(p) / "test_predictions.npy")
                for p in (path, path.replace("mine", "other"))
            )
            assert np.array_equal(truth, same)
            found.append((mine == truth).mean() - (other == truth).mean())
        assert row["against"]["difference"] == pytest.approx(np.mean(found))
        assert 0 < row["against"]["half_width"] < 1
    assert (
        "minus runs/other"
        in call(*settings(), *options, "--name", "mine", "--against", "runs/other")[1]
    )
    code, _, lines = call(
        *settings(), "--seeds", 3, "--name", "mine", "--against", "runs/other"
    )
    assert (code, len(lines)) == (2, 1)
    assert "runs/other/labels_5/seed_2/test_predictions.npy" in lines[0]
    code, _, lines = call(
        *settings("model.init_from=runs/other"), "--name", "from_table"
    )
    assert (code, len(lines)) == (2, 1)
    assert "Name one, such as runs/other/labels_3/seed_0." in lines[0]


def test_scores_are_those_of_the_saved_model(call):
    assert call(*settings(), "--name", "one")[0] == 0
    run = load_run("runs/one/labels_5/seed_0")
    assert run.manifest["classes"] == list(range(10))
    test = open_split(run.recipe, "test")
    with torch.no_grad():
        logits = run.model(test.load(torch.arange(len(test)), None, 0))
    predicted, expected = np.load("runs/one/labels_5/seed_0/test_predictions.npy")
    assert np.array_equal(logits.argmax(dim=1).numpy(), predicted)
    assert np.array_equal(expected, test.labels)


def test_predictions_are_the_saved_models(call, capfd, pretrained):
    assert call(*settings(), "--name", "one")[0] == 0
    run, test = "runs/one/labels_5/seed_0", load_run("runs/one/labels_5/seed_0")
    capfd.readouterr()
    assert main(["predict", run, "test", "-o", "said.csv", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    rows = pd.read_csv("said.csv", dtype={"class": str, "predicted_class": str})
    classes = [str(digit) for digit in range(10)]
    assert [*rows] == [
        "name",
        "class",
        "predicted_class",
        *(f"p({name})" for name in classes),
    ]
    predicted, expected = np.load(f"{run}/test_predictions.npy")
    assert rows["predicted_class"].astype(int).tolist() == predicted.tolist()
    assert rows["class"].astype(int).tolist() == expected.tolist()
    assert rows["name"].tolist() == [f"digit {row}" for row in range(360)]
    assert result["samples"] == 360
    assert result["classes"] == {
        name: (rows["predicted_class"] == name).sum() for name in classes
    }
    source = open_split(test.recipe, "test")
    with torch.no_grad():
        shares = (
            test.model(source.load(torch.arange(9), None, 0)).double().softmax(dim=1)
        )
    np.testing.assert_allclose(
        rows.iloc[:9, 3:].to_numpy(float), shares.numpy(), rtol=1e-4
    )
    Image.fromarray(
        source.load(torch.tensor([3]), None, 0)["images"][0, 0].numpy()
    ).save("three.png")
    assert main(["predict", run, "three.png", "-o", "one.parquet"]) == 0
    one = pd.read_parquet("one.parquet")
    assert [*one] == [
        "name",
        "predicted_class",
        *(f"p({name})" for name in classes),
    ]  # nothing is known of it
    np.testing.assert_allclose(
        one.iloc[0, 2:].to_numpy(float), shares[3].numpy(), atol=1e-5
    )
    assert not [*Path().glob(".writing*")]
    with pytest.raises(SystemExit) as ended:  # images have no columns
        main(["predict", run, "test", "-o", "no.csv", "--column", "x"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --column x" in capfd.readouterr().err
    for words, message in (
        (["runs/digits_demo", "test", "-o", "no.csv"], "RUN must be a fine-tuned run"),
        (
            [run, "test", "-o", "no.npy"],
            "--output must be a .csv, .tsv, .parquet or .json file",
        ),
        ([run, "three.csv", "-o", "three.csv"], "--output must not write over DATA"),
        (
            [run, "thr*.png", "-o", "runs"],
            "--output must be a .csv, .tsv, .parquet or .json file in an existing folder",
        ),
        ([run, "sai*.csv", "-o", "said.csv"], "--output must not write over DATA"),
    ):
        capfd.readouterr()
        assert main(["predict", *words]) == 2
        assert message in capfd.readouterr().err
        assert not Path("no.csv").exists()


def test_a_table_is_no_run(call, capfd):
    assert call(*settings(), "--name", "one")[0] == 0
    assert main(["embed", "runs/one", "test", "-o", "x.npy"]) == 2
    assert "Name one, such as runs/one/labels_5/seed_0." in capfd.readouterr().err
    assert main(["embed", "runs/one/labels_5/seed_0", "test", "-o", "x.npy"]) == 0
    assert np.load("x.npy").shape == (360, 16)
    assert main(["reconstruct", "runs/one/labels_5/seed_0"]) == 2


def test_what_is_watched_is_the_held_out_samples_answer(call):
    assert (
        call(*settings("watch={every_steps: 12, samples: 100}"), "--name", "watched")[0]
        == 0
    )
    folder = RunFolder("runs/watched/labels_5/seed_0")
    run = load_run(str(folder.path))
    held = open_training_data(run.recipe)[1]
    with torch.no_grad():
        logits = run.model(held.load(torch.arange(100), None, 0))
    labels = torch.from_numpy(held.labels[:100])
    right = float((logits.argmax(dim=1) == labels).float().mean())
    assert metric(folder, "validation/accuracy")[12] == pytest.approx(right)
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    assert metric(folder, "validation/loss")[12] == pytest.approx(loss, rel=1e-4)


def test_starts_from_the_run_unless_told_otherwise(call):
    still = ("optimizer.lr=1e-9", "tune.freeze=true")
    encoder = {
        name: t
        for name, t in load_run("runs/digits_demo").model.state_dict().items()
        if "encoder." in name
    }
    for name, more in (
        ("from_run", ()),
        ("from_scratch", (SCRATCH,)),
        ("from_tuned", ("model.init_from=runs/from_run/labels_5/seed_0",)),
    ):
        assert call(*settings(*still, *more), "--name", name)[0] == 0
        tuned = load_run(f"runs/{name}/labels_5/seed_0").model.state_dict()
        same = all(
            torch.equal(tuned[f"backbone.{key}"], tensor)
            for key, tensor in encoder.items()
        )
        assert same == (name != "from_scratch")


def test_learns_more_than_the_head_unless_frozen(call):
    for frozen in ("true", "false"):
        assert (
            call(*settings(f"tune.freeze={frozen}"), "--name", f"frozen_{frozen}")[0]
            == 0
        )
        folder = RunFolder(f"runs/frozen_{frozen}/labels_5/seed_0")
        first, last = weights(folder, 8), weights(folder, 12)
        moved = {
            name
            for name in first
            if "/" not in name and not torch.equal(first[name], last[name])
        }
        assert any(name.startswith("model.head.") for name in moved)
        assert any(name.startswith("model.backbone.") for name in moved) == (
            frozen == "false"
        )


EVERYTHING = (
    "data.augment={crop_scale: [0.5, 1.0], mixup: 0.8, cutmix: 1.0}",
    "model.drop_path=0.2",
    "tune={hidden: 16, dropout: 0.1, layer_decay: 0.6, label_smoothing: 0.1, class_weights: balanced}",
    "optimizer.clip_norm=1.0",
)


def test_killed_and_continued_is_bit_identical(call, pretrained):
    more = settings(
        *EVERYTHING,
        "schedule={steps: 120}",
        "checkpoint.every_steps=5",
        "repeat.labels_per_class=[all]",
    )
    assert call(*more, "--name", "straight")[0] == 0
    command = [
        str(Path(sys.executable).with_name("r2mae")),
        "finetune",
        str(RECIPE),
        *more,
        "--name",
        "killed",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    killed = RunFolder("runs/killed/labels_all/seed_0")
    while (
        process.poll() is None
        and not (killed.checkpoints / "step_10").is_dir()
        and not killed.pointer("last")
    ):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert killed.read_status()["status"] == "running"
    assert call(*more, "--name", "killed")[0] == 0
    straight = RunFolder("runs/straight/labels_all/seed_0")
    assert largest_difference(weights(straight, 120), weights(killed, 120)) == 0
    assert straight.read_status()["test"] == killed.read_status()["test"]


TUNED = {
    "lora": "tune={lora: {rank: 2, dropout: 0.2}, layer_decay: 0.6}",
    "last_layers": "tune={last_layers: 1, dropout: 0.1}",
}


@pytest.fixture(scope="module", params=TUNED)
def tuned(request, pretrained):
    """(key of tune, its settings, name of a run of 12 steps)."""
    more = (*settings(TUNED[request.param]), "--name", request.param)
    assert main(["finetune", str(RECIPE), *more]) == 0
    return request.param, more, RunFolder(f"runs/{request.param}/labels_5/seed_0")


def test_part_of_the_weights_is_trained_and_continues_bit_identically(call, tuned):
    name, more, folder = tuned
    start, first = (weights(folder, step) for step in (8, 12))
    changed = {
        key
        for key in start
        if "/" not in key and not torch.equal(start[key], first[key])
    }
    changed = {key for key in changed if not key.startswith("model.head.")}
    assert changed
    part = {"lora": ".lora_", "last_layers": "encoder.blocks.1."}[name]
    assert all(part in key or ".norm." in key for key in changed)
    for path in folder.saved()[1:]:
        shutil.rmtree(path)
    folder.point("last", folder.saved()[0])
    folder.write_status(status="running")
    assert call(*more)[0] == 0
    assert largest_difference(first, weights(folder, 12)) == 0


def test_a_run_of_lora_predicts_embeds_and_starts_with_merged_weights(call, tuned):
    name, _, folder = tuned
    run = load_run(folder.path)
    names = run.model.state_dict().keys()
    assert not any("lora" in key or "base_layer" in key for key in names)
    predicted, _ = np.load(folder.path / "test_predictions.npy")
    unmerged = build_model(run.recipe, 10).eval()
    saved = {
        key.removeprefix("model."): tensor
        for key, tensor in weights(folder, 12).items()
        if "/" not in key
    }
    unmerged.load_state_dict(saved)
    test = open_split(run.recipe, "test")
    batch = test.load(torch.arange(len(test)), None, 0)
    with torch.no_grad():
        expected = unmerged(batch)
        torch.testing.assert_close(run.model(batch), expected, rtol=0, atol=1e-6)
    assert np.array_equal(expected.argmax(dim=1).numpy(), predicted)
    assert main(["export", str(folder.path), f"timm_{name}", "--to", "timm"]) == 0
    exported = timm.create_model(f"local-dir:timm_{name}", pretrained=True).eval()
    pixels = run.model.backbone.pixels(batch)
    with torch.no_grad():
        torch.testing.assert_close(exported(pixels), expected, rtol=0, atol=1e-6)
    more = settings(f"model.init_from={folder.path}", "tune.freeze=true")
    assert call(*more, "--name", f"from_{name}")[0] == 0
    later = load_run(f"runs/from_{name}/labels_5/seed_0").model.backbone.state_dict()
    for key, tensor in run.model.backbone.state_dict().items():
        assert torch.equal(later[key], tensor)


def test_check_prints_what_lora_trains(call):
    code, out, _ = call(*settings(TUNED["lora"]), "--json", subcommand="check")
    assert code == 0
    report = json.loads(out)
    trained, total = report["parameters"]["trained"], report["parameters"]["all"]
    # A and B of four linear layers in each of two blocks of width 16, and the head.
    assert trained == 2 * 2 * (16 + 48 + 16 + 16 + 16 + 64 + 64 + 16) + 170
    nbytes = trained * 12  # a gradient and two moments each, printed with four digits
    assert report["trained_state_gib"] == float(f"{nbytes / 2**30:.4g}")
    out = call(*settings(TUNED["lora"]), subcommand="check")[1]
    assert f"{total:,} parameters, {trained:,} trained ({trained / total:.2%})" in out
    assert "starts from  runs/digits_demo: loads encoder (" in out
    assert "new: head (2 tensors)" in out


def test_two_processes_are_one(call, pretrained):
    """Two runs in one command, so the second meets processes that are already there."""
    more = settings(
        *EVERYTHING[:1],
        "tune={class_weights: balanced}",
        "batch.per_device_samples=4",
        "repeat.seeds=2",
    )
    code, out, _ = call(*more, "--name", "devices_one")
    assert code == 0
    assert out.count("labels per class") == 1
    devices = ("--set", "hardware.devices=2", "--name", "devices_two")
    done = r2mae("finetune", RECIPE, *more, *devices, cwd=pretrained, check=0)
    assert done.stdout.count("labels per class") == 1
    for seed in (0, 1):
        one, two = (
            RunFolder(pretrained / f"runs/devices_{name}/labels_5/seed_{seed}")
            for name in ("one", "two")
        )
        before, after = metric(one, "train/loss"), metric(two, "train/loss")
        assert list(before) == list(after)
        assert max(abs(before[step] - after[step]) for step in before) < 1e-5
        for name in ("validation/loss", "validation/accuracy"):
            assert metric(one, name)[12] == pytest.approx(
                metric(two, name)[12], abs=1e-4
            )
    # Both ranks have tested. One process that tests the same runs writes the same bits.
    files = sorted((pretrained / "runs/devices_two").rglob("test_predictions.npy"))
    shared = [file.read_bytes() for file in files]
    assert len(shared) == 2
    for file in files:
        file.unlink()
    assert call(*more, "--name", "devices_two")[0] == 0
    assert [file.read_bytes() for file in files] == shared


REFUSED = [
    (["tune.num_classes=7"], ["tune.num_classes must be 10", "got 7"]),
    (["tune.class_weights={eleven: 2.0}"], ["tune.class_weights must name classes", "'eleven'", "Known: 0, 1"]),
    (["tune.class_weights={'1': 0.0}"], ["tune.class_weights must be greater than 0"]),
    (["tune.class_weights=even"], ["tune.class_weights must", '"even"']),
    (["repeat.labels_per_class=[500]"], ["labels_per_class must be at most", "got 500"]),
    (["repeat.labels_per_class=[0]"], ["labels_per_class must be whole numbers from 1, or all"]),
    (["repeat.labels_per_class=[5, 5]"], ["labels_per_class must differ"]),
    (["tune={lora: {}, last_layers: 1}"], ["tune must set at most one of freeze, lora, last_layers"]),
    (["tune={last_layers: 3}"], ["tune.last_layers must be at most 2", "got 3"]),
    (["tune={lora: {rank: 0}}"], ["tune.lora.rank must be at least 1"]),
    (["tune={lora: {rank: 17}}"], ["tune.lora.rank must be at most 16", "got 17. Use 16"]),
    ([SCRATCH, "tune={lora: {}}"], ["model.init_from must name pretrained weights with tune.lora"]),
    ([SCRATCH, "tune={last_layers: 1}"], ["must name pretrained weights with tune.last_layers"]),
    (["model.encoder=vit_tinny_patch16_224"], ["model.encoder must be a timm model", "vit_tiny_patch16_224"]),
    (["model.init_from=runs/nowhere"], ["model.init_from must exist", "runs/nowhere"]),
    (["model.depth=3"], ["model.init_from", "must"]),
    (["model.pooling=max"], ["model.pooling must be 'mean' or 'cls'"]),
    (["schedule={tokens: 1000}"], ["epochs, steps or samples", "1000 tokens"]),
    (["mask={ratio: {fixed: {ratio: 0.5}}}"], ["mask must be a key of the document"]),
    (["data.augment={mixup: 0.8}", "batch.global_samples=15"], ["batch.per_device_samples must be even", "got 15"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "words"), REFUSED, ids=[" ".join(more) for more, _ in REFUSED]
)
def test_refuses(call, pretrained, more, words):
    code, _, lines = call(*settings(*more), "--name", "refused")
    assert code == 2, lines
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]
    assert not (pretrained / "runs" / "refused").exists()


@pytest.mark.parametrize("start", [(), ("model.init_from=runs/later",)])
def test_check_refuses_a_rank_that_no_change_has(call, start):
    wide = settings("tune={lora: {rank: 17}}", *start)
    code, _, lines = call(*wide, subcommand="check")
    assert (code, len(lines)) == (2, 1)
    assert "tune.lora.rank must be at most 16" in lines[0]


def test_check_refuses_lora_of_random_weights(call):
    code, _, lines = call(*settings(SCRATCH, TUNED["lora"]), subcommand="check")
    assert (code, len(lines)) == (2, 1)
    assert "got null. Name some, or leave tune.lora out." in lines[0]


def test_check_says_where_it_starts(call):
    code, out, _ = call(*settings(), "--json", subcommand="check")
    assert code == 0
    report = json.loads(out)
    start = report["data"]["init_from"]
    assert start.startswith("runs/digits_demo: loads encoder (")
    assert "leaves decoder_blocks (" in start
    assert start.endswith("new: head (2 tensors)")
    assert report["classes"] == 10
    assert report["plans"]["5"]["train_samples"] == 50
    assert (
        call(*settings("model.init_from=runs/later"), subcommand="check")[1].count(
            "runs/later: not on this machine, not checked"
        )
        == 1
    )
    code, _, lines = call(*settings("model.depth=3"), subcommand="check")
    assert (code, len(lines)) == (2, 1)


def test_rows_of_other_numbers_of_labels_stay(call):
    for asked, known in (("3", [3]), ("4,5", [3, 4, 5]), ("3", [4, 5, 3])):
        assert call(*settings(), "--name", "rows", "--labels-per-class", asked)[0] == 0
        rows = json.loads(Path("runs/rows/scores.json").read_text())["scores"]
        assert [row["labels_per_class"] for row in rows] == known


def letters(folder, **counts):
    """Class folders of grey images, 6 a class."""
    for split, classes in counts.items():
        for name in classes:
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(6):
                Image.fromarray(np.full((8, 8), number, np.uint8)).save(
                    place / f"{number}.png"
                )
    return f"data={{card: image_folder, root: {folder}, image_size: 8, channels: 1, augment: null, held_out: 0.25}}"


def test_folders_name_classes_in_their_order_and_the_test_split_follows(
    call, pretrained
):
    data = letters(pretrained / "ordered", train="zabq", test="zabq")
    code, out, _ = call(
        *settings(data, "repeat.labels_per_class=[all]", "tune.class_weights={q: 2.0}"),
        "--name",
        "ordered",
        "--json",
    )
    assert code == 0
    assert json.loads(out)["classes"] == ["a", "b", "q", "z"]
    _, expected = np.load("runs/ordered/labels_all/seed_0/test_predictions.npy")
    assert np.sort(expected).tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6
    assert expected[:6].tolist() == [0] * 6  # a/ comes first
    code, _, lines = call(*settings(data), "--name", "many", "--labels-per-class", "7")
    assert "the samples of class" in lines[0]
    assert lines[0].split("class ")[-1][0] in "abqz"


def test_unreadable_images_bring_nobody_elses_label_or_split(call, capfd, pretrained):
    data = letters(pretrained / "bad", train="ab", test="ab")
    for split in ("train", "test"):
        (pretrained / "bad" / split / "a" / "5.png").write_bytes(b"no image")
    skip = data.replace("held_out", "on_bad_sample: skip, held_out")
    code, _, lines = call(
        *settings(skip, "repeat.labels_per_class=[3]"), "--name", "bad"
    )
    assert code == 0, lines
    assert any(
        "skipped 1 unreadable test samples" in line and "a/5.png" in line
        for line in lines
    )
    _, expected = np.load("runs/bad/labels_3/seed_0/test_predictions.npy")
    assert (
        expected.tolist() == [0] * 5 + [1] * 7
    )  # the stand-in is b/0.png, and counts as b
    for subcommand, output in (("predict", "bad.csv"), ("embed", "bad.parquet")):
        capfd.readouterr()
        assert (
            main(
                [subcommand, "runs/bad/labels_3/seed_0", "test", "-o", output, "--json"]
            )
            == 3
        )
        said = capfd.readouterr()
        assert (
            json.loads(said.out)["samples"] == 11
        )  # nothing stands in for what could not be read
        assert "left out: 1 unreadable sample, " in said.err
        assert "a/5.png" in said.err
    assert pd.read_csv("bad.csv")["name"].str.contains("a/5.png").sum() == 0


def test_parts_find_stand_ins_among_themselves(pretrained):
    data = letters(pretrained / "parts", train="ab").replace(
        "held_out", "on_bad_sample: skip, held_out"
    )
    for number in (1, 3, 5):
        (pretrained / "parts" / "train" / "a" / f"{number}.png").write_bytes(
            b"no image"
        )
    recipe = load_recipe(str(RECIPE), [*SMALL, SCRATCH, data])
    for part in open_training_data(recipe):
        own = {int(part.root_indices(torch.tensor([row]))) for row in range(len(part))}
        batch = part.load(torch.arange(len(part)), torch.arange(len(part)), 0)
        assert set(batch["indices"].tolist()) <= own - {1, 3, 5}
    few = Chosen(open_training_data(recipe)[0], np.array([0, 2, 4]))
    read = few.load(torch.arange(3), None, 0)["indices"]
    assert set(read.tolist()) <= {
        int(few.root_indices(torch.tensor([row]))) for row in range(3)
    } - {1, 3, 5}


def test_what_would_stop_it_half_way_stops_it_at_once(call, pretrained):
    code, _, lines = call(*settings(), "--name", "late", "--labels-per-class", "5,500")
    assert (code, len(lines)) == (2, 1)
    assert "labels_per_class must be at most" in lines[0]
    data = letters(pretrained / "letters", train="ab", test="abc")
    code, _, lines = call(
        *settings(data, "repeat.labels_per_class=[all]"), "--name", "late"
    )
    assert (code, len(lines)) == (2, 1)
    assert "1 more: c" in lines[0]
    assert not (pretrained / "runs" / "late").exists()


def test_keeps_out_of_other_folders(call):
    code, _, lines = call(*settings(), "--name", "digits_demo")
    assert (code, len(lines)) == (2, 1)
    assert "must hold fine-tuning runs" in lines[0]
    code, _, lines = call(subcommand="pretrain")
    assert (code, len(lines)) == (2, 1)
    assert "task must be pretrain here, got finetune. Name a pretraining" in lines[0]
    code, _, lines = call("--labels-per-class", "some")
    assert (code, len(lines)) == (2, 1)


def test_changed_settings_do_not_continue(call):
    assert call(*settings(), "--name", "kept")[0] == 0
    code, _, lines = call(*settings("optimizer.lr=1e-4"), "--name", "kept")
    assert (code, len(lines)) == (2, 1)
    assert "optimizer.lr must be 0.003 to continue" in lines[0]
    assert call(*settings("optimizer.lr=1e-4"), "--name", "kept", "--fresh")[0] == 0
    assert Path("runs/kept.1/labels_5/seed_0/run.json").is_file()


def test_ordered_digits_are_scored_and_exported(pretrained, capsys, tmp_path):
    """Images with an order: the labels are shared by all modalities, the head by all exports."""
    words = [
        "finetune",
        str(RECIPE),
        "--name",
        "ordinal",
        "--json",
        *settings(SCRATCH, "tune={target: ordinal, class_weights: balanced}"),
    ]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)["scores"]
    assert {"absolute_error", "quadratic_kappa", "accuracy"} <= row.keys()
    run = "runs/ordinal/labels_5/seed_0"
    assert main(["export", run, str(tmp_path / "out"), "--to", "torch_export"]) == 0
    module = torch.export.load(tmp_path / "out" / "model.pt2").module()
    loaded = load_run(run)
    batch = loaded.wing.open_split(loaded.recipe, "test").load(torch.arange(8), None, 0)
    _, logits = module(batch["images"])
    probabilities = logits.exp().sum(dim=1)
    torch.testing.assert_close(probabilities, torch.ones(8))
    capsys.readouterr()
    assert main(["export", run, str(tmp_path / "timm"), "--to", "timm"]) == 2
    assert "tune.target must not be ordinal" in capsys.readouterr().err
