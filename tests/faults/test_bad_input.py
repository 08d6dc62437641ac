"""What a user gets wrong, through the console script: one line, exit code 2, nothing half-written."""

import json
import shutil

import pytest
from PIL import Image

from tests.conftest import DEMO, overrides, r2mae
from tests.training.runs import train


@pytest.fixture
def call(scratch, capfd, monkeypatch):
    """(exit code, stderr lines) of the command line, in this process: a fresh one costs seconds."""
    from r2mae.cli.main import main

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ending:
            code = ending.code
        return code, capfd.readouterr().err.strip().splitlines()

    return run


def refused(answer, *words):
    code, lines = answer
    assert code == 2, lines
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


BAD_SETTINGS = [
    (
        ["batch.global_sampels=3"],
        ["batch.global_sampels", "Did you mean global_samples?"],
    ),
    (
        ["mask.ratio={uniform: {low: 0.6, high: 90}}"],
        ["mask.ratio.uniform.high", "got 90", "did you mean 0.90?"],
    ),
    (
        ["mask.ratio={uniform: {low: 0.9, high: 0.6}}"],
        ["mask.ratio.uniform.high must be in (low, 1], got 0.6"],
    ),
    (["model.patch_size=3"], ["data.image_size", "divisible by the patch size 3"]),
    (
        ["batch.per_device_samples=5"],
        ["batch.global_samples must be divisible", "Nearest:"],
    ),
    (
        ["data.image_size=[32, 48, 3]"],
        ["data.image_size must hold at most 2 items, got [32, 48, 3]"],
    ),
    (
        ["data.image_size=[32, 47]"],
        ["data.image_size must be divisible by the patch size 2 of", "got 47. Use 46"],
    ),
    (["data.card=digit"], ["data.card", "Did you mean digits?"]),
    (
        ["data={card: cifar10, root: nowhere, image_size: 32}"],
        ["data.root must be an existing folder", "nowhere"],
    ),
    (["data={card: image_folder, image_size: 32}"], ["data.root must be given"]),
    (
        ["model.encoder=resnet50"],
        ["model.width must not be set for resnet50", "model.arguments"],
    ),
    (
        ["model={encoder: resnet18, decoder_depth: 1}", "data.image_size=64"],
        ["model.decoder_depth must not be set"],
    ),
    (
        ["model={encoder: resnet18}"],
        ["data.image_size must be divisible by the stride 32 of resnet18", "Use 32"],
    ),
    (
        ["model={encoder: resnt18}"],
        ["model.encoder must be a timm model", "Did you mean resnet18"],
    ),
    (
        ["model={encoder: pit_ti_224}", "data.image_size=224"],
        ["model.encoder must give a spatial feature map"],
    ),
    (
        ["model={encoder: resnet18, arguments: {layer: 1}}"],
        ["model.arguments must be arguments of", "layers"],
    ),
    (["model.init_from=no/such/folder"], ["model.init_from"]),
    (
        ["hardware.devices=8", "hardware.accelerator=gpu", "batch.global_samples=16"],
        ["hardware.devices"],
    ),
    (
        ["schedule.warmup_steps=20"],
        [
            "schedule.warmup_steps or warmup_epochs must be shorter than training, got 20 of 20 steps"
        ],
    ),
    (
        ["model.patch_size=1", "model.normalize_targets=true"],
        ["model.normalize_targets"],
    ),
    (["model.heads=3"], ["model.width"]),
]


@pytest.mark.parametrize(
    ("settings", "words"), BAD_SETTINGS, ids=[" ".join(s) for s, _ in BAD_SETTINGS]
)
def test_bad_settings(call, scratch, settings, words):
    refused(call("pretrain", DEMO, *overrides(*settings)), *words)
    assert [
        path for path in scratch.iterdir() if path.name != "cache"
    ] == []  # which libraries make when first imported


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pretrain", "no.yaml"], ["no.yaml", "does not exist"]),
        (["pretrain", DEMO, "--name", "../up"], ["--name"]),
        (["pretrain"], ["RECIPE"]),
        (["pretran"], ["pretran"]),
        (
            ["evaluate", "runs/none", "--task", "knn"],
            ["runs/none must be a run folder"],
        ),
        (["mask", DEMO, "--steps", "5:2"], ["--steps must be A:B"]),
        (["mask", DEMO, "--steps", "0:100000"], ["--steps must end at 800"]),
        (["reconstruct", "runs/none", "--ratios", "75"], ["--ratios"]),
        (
            ["embed", "runs/none", "test", "-o", "x.txt"],
            ["--output must be a .npy or .parquet file"],
        ),
        (["check", DEMO, "--set", "seed"], ["--set must look like key.subkey=value"]),
    ],
)
def test_bad_calls(call, scratch, arguments, words):
    refused(call(*arguments), *words)
    assert [
        path for path in scratch.iterdir() if path.name != "cache"
    ] == []  # which libraries make when first imported


def image_folder(folder, num=24):
    for number in range(num):
        path = folder / "train" / f"class_{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 20), 40 + number).save(path)
    return folder


def folder_settings(folder, *more):
    data = (
        f"data={{card: image_folder, root: {folder}, image_size: 16, held_out: 0.25}}"
    )
    return overrides(data, "model.patch_size=4", "schedule.steps=4", *more)


def test_empty_folder(call, scratch):
    (scratch / "images" / "train").mkdir(parents=True)
    refused(
        call("pretrain", DEMO, *folder_settings(scratch / "images"), "--name", "x"),
        "images",
        "got none",
    )
    assert not (scratch / "runs").exists()


def test_truncated_jpeg_stops_by_name(call, scratch):
    folder = image_folder(scratch / "images")
    bad = folder / "train" / "class_0" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    code, lines = call("pretrain", DEMO, *folder_settings(folder), "--name", "x")
    assert code == 2
    assert "0.jpg must be a complete, readable image" in lines[-1]
    assert "data.on_bad_sample: skip" in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_truncated_jpeg_is_skipped_counted_and_reported(call, scratch):
    folder = image_folder(scratch / "images")
    bad = folder / "train" / "class_0" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    settings = folder_settings(folder, "data.on_bad_sample=skip")
    code, lines = call("pretrain", DEMO, *settings, "--name", "x")
    assert code == 0
    assert any("skipped 1 unreadable samples" in line for line in lines)
    status = json.loads((scratch / "runs" / "x" / "run.json").read_text())
    assert status["skipped_samples"] == 1
    assert status["skipped_first"][0].endswith("0.jpg")


def test_more_than_half_of_the_images_unreadable_is_refused(call, scratch):
    folder = image_folder(scratch / "images")
    settings = folder_settings(folder, "data.on_bad_sample=skip")
    assert call("pretrain", DEMO, *settings, "--name", "x")[0] == 0
    for bad in sorted(folder.rglob("*.jpg"))[:13]:
        bad.write_bytes(bad.read_bytes()[:200])
    words = ("data must be right in at least half of 24 images", "got 13 bad images: ")
    refused(call("embed", "runs/x", folder, "-o", "out.npy"), *words)
    assert not (scratch / "out.npy").exists()
    longer = folder_settings(folder, "data.on_bad_sample=skip", "schedule.steps=8")
    code, lines = call("pretrain", DEMO, *longer, "--name", "y")
    assert code == 2
    assert all(word in lines[-1] for word in words)


def test_a_run_folder_of_another_recipe(call, scratch, capfd):
    train("run", "schedule.steps=3")
    capfd.readouterr()
    before = {
        path: path.read_bytes()
        for path in (scratch / "runs").rglob("*")
        if path.is_file()
    }
    refused(
        call(
            "pretrain", DEMO, *overrides("schedule.steps=3", "seed=5"), "--name", "run"
        ),
        "seed must be 0",
    )
    assert before == {
        path: path.read_bytes()
        for path in (scratch / "runs").rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("subcommand", ["evaluate", "pretrain"])
def test_a_damaged_checkpoint(call, scratch, subcommand):
    every_two = ("schedule.steps=4", "checkpoint.every_steps=2", "watch.every_steps=2")
    folder = train("run", *every_two)
    file = folder.pointer("last") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    folder.write_status(status="running")
    arguments = {
        "evaluate": ["evaluate", "runs/run", "--task", "knn"],
        "pretrain": ["pretrain", DEMO, *overrides(*every_two), "--name", "run"],
    }[subcommand]
    code, lines = call(*arguments)
    assert code == 2
    assert "step_4/model.safetensors must be an undamaged checkpoint file" in lines[-1]
    assert "Delete runs/run/checkpoints/step_4 to continue from step_2" in lines[-1]
    shutil.rmtree(folder.pointer("last"))  # as the message says
    assert call(*arguments)[0] == 0


def test_other_data_is_refused_on_continuation(call, scratch):
    folder = image_folder(scratch / "images")
    settings = folder_settings(folder)
    assert call("pretrain", DEMO, *settings, "--name", "x")[0] == 0
    from r2mae.training.run_folder import RunFolder

    RunFolder("runs/x").write_status(status="running")
    (folder / "train" / "class_1" / "1.jpg").unlink()
    code, lines = call("pretrain", DEMO, *settings, "--name", "x")
    assert code == 2
    assert "data must be what" in lines[-1]


def test_faults_of_ours_leave_no_traceback_on_the_screen(call, scratch, monkeypatch):
    from r2mae.recipe.training import Training

    monkeypatch.setattr(Training, "run", lambda self: 1 / 0)
    code, lines = call("pretrain", DEMO, *overrides(), "--name", "x")
    assert code == 1
    assert "fault in r2mae: ZeroDivisionError" in lines[-1]
    assert "ZeroDivisionError" in (scratch / "runs" / "x" / "stderr.log").read_text()
    assert not any("Traceback" in line for line in lines)


def test_what_one_rank_alone_finds_is_said(scratch):
    folder = image_folder(scratch / "images")
    bad = folder / "train" / "class_0" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    settings = folder_settings(
        folder, "hardware.devices=2", "watch.every_steps=1000", "schedule.steps=20"
    )
    done = r2mae("pretrain", DEMO, *settings, "--name", "x", cwd=scratch, check=2)
    assert "0.jpg must be a complete, readable image" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_class_is_no_probe(call, scratch):
    folder = image_folder(scratch / "images")
    shutil.rmtree(folder / "train" / "class_1")
    settings = folder_settings(folder, "watch.linear_probe=true")
    assert call("pretrain", DEMO, *settings, "--name", "x")[0] == 0


@pytest.mark.parametrize("name", ["run.json", "metrics.csv", "checkpoints/last"])
def test_damaged_small_files(call, scratch, name):
    settings = ("schedule.steps=4", "checkpoint.every_steps=2")
    folder = train("run", *settings)
    folder.write_status(status="running")
    (folder.path / name).write_bytes(b"\xf2\x00garbage,\n1,2\n")
    code, lines = call("pretrain", DEMO, *overrides(*settings), "--name", "run")
    assert code == (2 if name == "run.json" else 0), lines
    assert not any("Traceback" in line or "fault in" in line for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "", "--task", "knn"],
        ["embed", "runs/run", "", "-o", "x.npy"],
        ["embed", "runs/run", "test", "-o", ""],
        ["embed", "runs/run", "test", "--output="],
        ["export", "runs/run", "", "--to", "timm"],
        ["pretrain", DEMO, "--name", ""],
        ["data", "inspect", ""],
    ],
)
def test_empty_arguments(call, scratch, arguments):
    refused(call(*arguments), "must not be empty, got ''")


def test_links_that_lead_to_themselves(call, scratch, capfd):
    train("run", "schedule.steps=3")
    capfd.readouterr()
    for link in ("loop", "runs/loop"):
        (scratch / link).symlink_to("loop")
    refused(call("embed", "runs/run", "loop", "-o", "x.npy"), "loop must exist")
    refused(call("embed", "runs/run", "test", "-o", "loop/x.npy"), "existing folder")
    refused(call("pretrain", DEMO, *overrides(), "--name", "loop"), "runs/loop")
    assert not (scratch / "x.npy").exists()
