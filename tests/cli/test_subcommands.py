"""Each subcommand on one small run: what it prints, what it writes, and that the numbers are right."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from r2mae.cli.main import main
from r2mae.data.source import load_or_error
from r2mae.masking.pattern import count_masked
from r2mae.recipe.assembly import build_model, open_split
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO, TINY, overrides


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("subcommands"))
        assert (
            main(
                [
                    "pretrain",
                    str(DEMO),
                    *overrides("watch.pictures=true"),
                    "--name",
                    "run",
                ]
            )
            == 0
        )
        yield


@pytest.fixture
def answer(trained, capfd):
    """stdout of a call as JSON."""

    def run(*arguments):
        capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    return run


def test_check(answer, capfd):
    report = answer("check", DEMO, *overrides())
    recipe = load_recipe(str(DEMO), list(TINY))
    model = build_model(recipe)
    assert report["parameters"]["all"] == sum(p.numel() for p in model.parameters())
    assert report["plan"]["steps"] == 20
    assert report["plan"]["train_samples"] == 1293
    assert [level["ratio"] for level in report["levels"]] == pytest.approx(
        recipe.mask.law.table(0).tolist()
    )
    for level in report["levels"]:
        expected = count_masked(
            torch.tensor([16]), torch.tensor([level["ratio"]], dtype=torch.float64)
        )
        assert level["masked"] == int(expected)
        assert level["visible"] == 16 - level["masked"]
        assert level["step_tflop"] == pytest.approx(
            16 * model.training_flops(level["visible"]) / 1e12
        )
    assert main(["check", str(DEMO), str(DEMO)]) == 0
    assert capfd.readouterr().out.count("FLOP per step") == 2


def test_check_is_one_screen_and_full_prints_the_rest(capfd):
    assert main(["check", str(DEMO)]) == 0
    screen = capfd.readouterr().out.splitlines()
    assert len(screen) <= 24
    assert max(map(len, screen)) <= 120
    assert any(
        "uniform (low 0.1, high 0.9)" in line and "2 to 14 of 16 tokens" in line
        for line in screen
    )
    assert main(["check", str(DEMO), "--full"]) == 0
    full = capfd.readouterr().out
    assert all(line in full for line in screen)
    assert "lr_per_256_samples: 0.006" in full
    levels = [line.split()[0] for line in full.splitlines() if line.startswith("0.")]
    assert levels == [f"{0.15 + 0.1 * number:.3f}" for number in range(8)]


def test_mask_shows_what_training_hides(answer, capfd):
    shown = answer("mask", DEMO, *overrides(), "--steps", "3:5", "--positions", "0:16")
    from tests.training.runs import prepare

    module = prepare("other")[0].module
    for step in shown["steps"]:
        first = step["step"] * 16
        batch = module.dataset.__getitems__(list(range(first, first + 16)))
        mask = module.objective.prepare(batch, step["step"])["mask"]
        for row, sample in enumerate(step["samples"]):
            assert sample["masked"] == mask.is_masked[row].nonzero()[:, 0].tolist()
            assert sample["index"] == int(
                batch["indices"][row]
            )  # as trace.jsonl has it
    assert (
        main(["mask", str(DEMO), *overrides(), "--steps", "0:1", "--positions", "0:1"])
        == 0
    )
    drawn = capfd.readouterr().out
    assert (
        drawn.count("#") + drawn.count(".") - 1 == 16
    )  # one point belongs to the printed ratio


@pytest.mark.parametrize("task", ["knn", "linear_probe"])
def test_evaluate(answer, task):
    scores = answer("evaluate", "runs/run", "--task", task, "--baselines")["scores"]
    assert list(scores) == ["pretrained", "untrained", "raw input"]
    assert scores["raw input"]["accuracy"] > 0.85
    few = answer(
        "evaluate",
        "runs/run",
        "--task",
        task,
        "--labels-per-class",
        "5",
        "--draws",
        "3",
    )
    assert few["scores"]["pretrained"]["draws"] == 3
    assert few["checkpoint_step"] == 20
    assert 0 < few["scores"]["pretrained"]["half_width"] < 0.5
    assert {"balanced_accuracy", "macro_f1"} < set(few["scores"]["pretrained"])
    assert few["differences"] == {}


def test_attentive_probe_leaves_out_simple_features_which_have_no_tokens(
    answer, capfd, monkeypatch
):
    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 30)
    call = ("evaluate", "runs/run", "--draws", "2", "--labels-per-class", "5,20")
    call += ("--baselines", "--task")
    alone = answer(*call, "attentive_probe")
    for row in alone["rows"]:
        assert list(row["scores"]) == ["pretrained", "untrained"]
        assert list(row["differences"]) == ["pretrained - untrained"]
    few, many = (row["scores"]["pretrained"] for row in alone["rows"])
    assert 0.2 < few["accuracy"] < many["accuracy"]
    tasks = answer(*call, "knn,attentive_probe")["tasks"]
    assert tasks["attentive_probe"] == {
        key: value for key, value in alone.items() if key in tasks["attentive_probe"]
    }
    assert main([*call, "knn,attentive_probe"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert any("attentive_probe" in line and line.endswith("  -") for line in lines)


def test_attentive_probe_is_scored_on_samples_of_which_a_part_is_hidden(
    answer, monkeypatch
):
    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 30)
    call = ("evaluate", "runs/run", "--task", "attentive_probe", "--hidden", "0,0.9")
    rows = answer(*call, "--labels-per-class", "20", "--draws", "2")["rows"]
    complete, hidden = (row["scores"]["pretrained"]["accuracy"] for row in rows)
    assert [row["hidden"] for row in rows] == [0.0, 0.9]
    assert hidden < complete - 0.1


def test_probes_are_trained_on_copies_with_as_large_a_share_hidden(answer, capfd):
    call = ("evaluate", "runs/run", "--task", "knn,linear_probe", "--baselines")
    call += ("--draws", "2", "--labels-per-class", "20,all", "--hidden")
    alone = answer(*call, "0,0.5")["tasks"]
    both = answer(*call, "0,0.5", "--hide-in-training")["tasks"]
    for task in ("knn", "linear_probe"):
        for before, after in zip(alone[task]["rows"], both[task]["rows"], strict=True):
            assert (before == after) == (before["hidden"] == 0)
            assert list(before["scores"]) == list(after["scores"])
    assert main([*call, "0", "--hide-in-training"]) == 2
    assert "share of --hidden above 0" in capfd.readouterr().err


def test_evaluate_compares_pair_by_pair(answer):
    call = (
        "evaluate",
        "runs/run",
        "--task",
        "linear_probe",
        "--draws",
        "4",
        "--labels-per-class",
    )
    several = answer(*call, "1,7,all", "--baselines")
    assert (
        several["labels_per_class"]
        == [row["labels_per_class"] for row in several["rows"]]
        == [1, 7, "all"]
    )
    for row in several["rows"]:
        assert list(row["differences"]) == [
            "pretrained - untrained",
            "pretrained - raw input",
        ]
        for name, found in row["differences"].items():
            ours, theirs = (
                row["scores"]["pretrained"],
                row["scores"][name.removeprefix("pretrained - ")],
            )
            assert found["difference"] == pytest.approx(
                ours["accuracy"] - theirs["accuracy"]
            )
            assert 0 < found["half_width"] < 0.5
    alone = answer(*call, "7", "--baselines")
    for part in ("scores", "differences"):  # the same draws, whatever else is asked
        for name, found in alone[part].items():
            assert found == pytest.approx(several["rows"][1][part][name], abs=0.02)


def test_evaluate_prints_a_line_for_each_count(trained, capfd):
    assert (
        main(
            [
                "evaluate",
                "runs/run",
                "--task",
                "knn",
                "--labels-per-class",
                "2,all",
                "--baselines",
            ]
        )
        == 0
    )
    heading, columns, *lines = capfd.readouterr().out.splitlines()
    assert "over test samples and 10 draws of labels" in heading
    assert "paired" in heading
    assert columns.startswith("labels per class  task  pretrained")
    assert [line.split()[:2] for line in lines[:2]] == [["2", "knn"], ["all", "knn"]]
    assert [line.count("±") for line in lines[:2]] == [5, 5]
    assert lines[2] == "balanced accuracy / macro F1"
    assert [line.count(" / ") for line in lines[4:]] == [3, 3]


def test_evaluate_hides_the_same_input_from_baselines(answer, capfd):
    call = ("evaluate", "runs/run", "--task", "linear_probe", "--baselines")
    result = answer(*call, "--hidden", "0,0.5")
    complete, hidden = result["rows"]
    assert (complete["hidden"], hidden["hidden"]) == (0, 0.5)
    names = ["pretrained", "untrained", "raw input"]
    assert list(complete["scores"]) == list(hidden["scores"]) == names
    assert complete["scores"] == answer(*call)["scores"]
    pixels = [row["scores"]["raw input"]["accuracy"] for row in (complete, hidden)]
    assert 0.7 < pixels[1] < pixels[0] - 0.05
    assert main([*call, "--hidden", "0,0.5"]) == 0
    _, columns, *lines = capfd.readouterr().out.splitlines()
    differences = ["pretrained - untrained", "pretrained - raw input"]
    titles = ["labels per class", "hidden", "task", *names, *differences]
    assert [title.strip() for title in columns.split("  ") if title] == titles
    assert [line.split()[1] for line in lines[:2]] == ["0%", "50%"]
    assert [line.count("±") for line in lines[:2]] == [5, 5]


def test_evaluate_reads_each_sample_once_for_all_tasks_and_encoders(
    answer, monkeypatch
):
    indices = []

    def load(source, rows):
        indices.append(len(rows))
        return load_or_error(source, rows)

    monkeypatch.setattr("r2mae.data.reader.load_or_error", load)
    tasks = answer("evaluate", "runs/run", "--task", "knn,linear_probe", "--baselines")[
        "tasks"
    ]
    assert list(tasks) == ["knn", "linear_probe"]
    assert list(tasks["knn"]["scores"]) == ["pretrained", "untrained", "raw input"]
    assert sum(indices) == 1437 + 360
    alone = answer("evaluate", "runs/run", "--task", "knn", "--baselines")
    assert alone["scores"] == tasks["knn"]["scores"]


def test_workers_and_precision_of_features(answer, tmp_path):
    options = (("--workers", "0"), ("--workers", "2"), ("--precision", "bf16-mixed"))
    features = []
    for number, option in enumerate(options):
        file = tmp_path / f"{number}.npy"
        answer("embed", "runs/run", "train", "-o", file, *option)
        features.append(np.load(file))
    alone, ahead, mixed = features
    assert np.array_equal(alone, ahead)
    assert mixed.dtype == np.float32
    assert not np.array_equal(alone, mixed)
    np.testing.assert_allclose(alone, mixed, atol=0.1)
    call = ("evaluate", "runs/run", "--task", "knn,linear_probe", "--workers")
    assert answer(*call, "0") == answer(*call, "2")


def test_workers_are_a_whole_number(trained, capfd):
    with pytest.raises(SystemExit):
        main(["evaluate", "runs/run", "--task", "knn", "--workers", "-1"])
    assert (
        "--workers: must be a whole number from 0, got '-1'" in capfd.readouterr().err
    )


def test_labels_per_class_and_tasks_that_are_repeated_count_once(answer):
    call = ("evaluate", "runs/run", "--task", "knn", "--task", "knn")
    result = answer(*call, "--labels-per-class", "2,2", "--draws", "2")
    assert result["labels_per_class"] == 2
    assert result["task"] == "knn"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--labels-per-class", "0"),
            "must be whole numbers from 1, or all, separated by commas, got '0'",
        ),
        (("--labels-per-class", "x"), "separated by commas, got 'x'"),
        (("--labels-per-class", "5,,all"), "separated by commas, got '5,,all'"),
        (("--labels-per-class", "5,-1"), "separated by commas, got '5,-1'"),
        (("--labels-per-class", "5,9999"), "labels_per_class must be at most "),
        (
            ("--label", "fine"),
            "data.label_column must be a column of the data, got 'fine' for data without",
        ),
    ],
)
def test_evaluate_refuses_in_one_line(trained, capfd, options, message):
    capfd.readouterr()
    try:
        code = main(["evaluate", "runs/run", "--task", "knn", *options])
    except SystemExit as ending:
        code = ending.code
    shown = capfd.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert message in shown.err


def test_reconstruct(answer, tmp_path):
    Image.effect_noise((30, 20), 50).save(tmp_path / "one.png")
    out = tmp_path / "out.png"
    made = answer(
        "reconstruct",
        "runs/run",
        tmp_path / "one.png",
        "-o",
        out,
        "--ratios",
        "0.5,0.8",
    )
    assert made["images"] == 1
    assert list(made["loss"]) == ["0.5", "0.8"]
    # A panel of 96 pixels, and a line of captions.
    assert np.asarray(Image.open(out)).shape == (96 + 16, 5 * 98 - 2, 3)
    assert answer("reconstruct", "runs/run")["images"] == 8


def test_embed(answer, tmp_path):
    made = answer("embed", "runs/run", "test", "-o", tmp_path / "features.npy")
    features = np.load(tmp_path / "features.npy")
    assert features.shape == (made["samples"], made["features"]) == (360, 16)
    assert features.dtype == np.float32
    source = open_split(load_recipe(str(DEMO)), "test")
    with open(made["names"], newline="") as file:
        names = list(csv.reader(file))
    assert names == [
        ["name", "class"],
        *([f"digit {row}", str(source.labels[row])] for row in range(360)),
    ]
    Image.fromarray(
        source.load(torch.tensor([3]), None, 0)["images"][0, 0].numpy()
    ).save(tmp_path / "three.png")
    answer("embed", "runs/run", tmp_path / "three.png", "-o", tmp_path / "one.npy")
    assert (
        tmp_path / "one.names.csv"
    ).read_text() == f"name,class\n{tmp_path / 'three.png'},\n"
    np.testing.assert_allclose(np.load(tmp_path / "one.npy")[0], features[3], atol=1e-5)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_demo_ends_with_a_sentence_and_keeps_its_numbers(trained, capfd):
    assert main(["demo", str(DEMO), *overrides(), "--name", "demo"]) == 0
    *_, sentence, numbers, following = capfd.readouterr().out.splitlines()
    assert sentence.startswith("linear probe with all labels: ")
    assert "; kNN with 10 labels per class: " in sentence
    assert sentence.count("untrained (") == sentence.count("raw input (") == 2
    assert "runs/demo/demo.json" in numbers
    assert "r2mae report runs/demo;" in following
    result = json.loads(Path("runs/demo/demo.json").read_text())
    assert result["run"] == "runs/demo"
    assert result["conclusion"] == sentence
    few, every = result["rows"]
    assert set(few["scores"]) == {"pretrained", "untrained", "raw input"}
    assert few["scores"]["pretrained"]["knn"]["draws"] == 10
    assert every["labels_per_class"] == "all"


def test_demo_runs_several_recipes_and_sums_up(trained, capfd):
    for name in ("one", "two"):
        Path(f"{name}.yaml").write_text(DEMO.read_text())
    assert main(["demo", "one.yaml", "two.yaml", *overrides()]) == 0
    *_, title, first, second = capfd.readouterr().out.splitlines()
    assert title == "In short"
    for name, line in (("one", first), ("two", second)):
        result = json.loads(Path(f"runs/{name}/demo.json").read_text())
        assert line == f"{name}: {result['conclusion']}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "x"], "--name must be given with one recipe, got 2"),
        (["--set", "hardware.devices=2"], "hardware.devices must be 1 where several"),
        (["digits_demo"], "RECIPE must be given once, got digits_demo twice"),
        (["nowhere"], "got 'nowhere'"),
        (["digits_finetune"], "task must be pretrain here, got finetune"),
    ],
)
def test_demo_refuses_for_several_recipes(options, message, scratch, capfd):
    """Before it trains any."""
    assert main(["demo", "digits_demo", "pbmc68k_demo", *options]) == 2
    assert message in capfd.readouterr().err
    assert not Path("runs").exists()


def test_check_says_what_balanced_draws_save(scratch, capsys):
    from r2mae.cli.main import main

    base = [
        "check",
        str(DEMO),
        "--json",
        "--set",
        "mask.ratio={uniform: {low: 0.2, high: 0.8}}",
        "--set",
        "mask.scope=step",
    ]
    assert main(base) == 0
    alone = json.loads(capsys.readouterr().out)
    costs = [level["step_tflop"] for level in alone["levels"]]
    assert alone["independent_draws"]["ranks"] == 8
    assert (
        1.1
        < alone["independent_draws"]["cost"]
        < max(costs) / (sum(costs) / len(costs))
    )
    assert main([*base, "--set", "hardware.devices=2"]) == 0
    assert json.loads(capsys.readouterr().out)["independent_draws"]["ranks"] == 2
    assert main([*base, "--set", "mask.scope=sample"]) == 0
    assert json.loads(capsys.readouterr().out)["independent_draws"] is None
