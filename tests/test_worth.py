"""scripts/worth.py makes tables with paired differences, and continues where it was stopped."""

import importlib
import json
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture
def worth(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("worth")
    for name in [name for name in sys.modules if name.partition("_")[0] == "worth"]:
        del sys.modules[name]


@pytest.fixture
def runs(worth):
    return importlib.import_module("worth_runs")


def test_a_difference_is_paired_and_marked(worth):
    better, worse = [0.9, 0.8, 0.85], [0.8, 0.7, 0.75]
    assert worth.difference(better, worse, []).startswith("**+0.100 ± 0.000")
    assert worth.difference(worse, better, []).startswith("*-0.100 ± 0.000")
    assert worth.difference(better, worse, [0.2] * 3) == "+0.100 ± 0.200"
    uneven = [0.9, 0.7, 0.9]
    assert worth.difference(better, uneven, []) == "+0.017 ± 0.190"
    assert worth.difference(better, uneven, [], 1.5) == "+0.017 ± 0.285"


def test_one_seed_or_a_missing_peer_has_no_difference(worth):
    assert worth.difference([0.9], [0.8], []) == ""
    assert worth.difference([0.9, 0.8], [], []) == ""


def test_a_table_has_a_column_for_each_measured_peer(worth):
    scores = {"r2mae": [0.9, 0.8], "untrained": [0.7, 0.6]}
    results = {"data": {"knn": scores, "CPU seconds": {"r2mae": [100.0, 101.0]}}}
    header, _, knn, seconds = worth.table(results, ("untrained", "PCA")).splitlines()
    assert header == "| measure | data | - untrained |"
    assert knn == "| knn | 0.850 | **+0.200 ± 0.000** |"
    assert seconds == "| CPU seconds | 100 |  |"


def test_a_measured_seed_is_not_measured_again(worth, tmp_path, monkeypatch):
    module = importlib.import_module("worth_vision")
    calls = []

    def measure(name, seed, work, scvi):
        calls.append(seed)
        return {"knn": {"r2mae": 0.5 + seed / 10}}

    monkeypatch.setattr(module, "measure", measure)
    for seed in (0, 1, 0):
        worth.measure_seed("vision", ["cifar10"], seed, tmp_path, None)
    assert calls == [0, 1]
    files = [tmp_path / f"cifar10_{seed}.json" for seed in (0, 1)]
    assert worth.collected(files) == {"knn": {"r2mae": [0.5, 0.6]}}


def test_an_interrupted_measurement_leaves_no_file(worth, tmp_path, monkeypatch):
    module = importlib.import_module("worth_vision")
    monkeypatch.setattr(module, "measure", lambda *_: {"knn": {"r2mae": 0.5}})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("r2mae.data.atomic.flush", killed)
        with pytest.raises(KeyboardInterrupt):
            worth.measure_seed("vision", ["cifar10"], 0, tmp_path, None)
    assert not [*tmp_path.iterdir()]
    worth.measure_seed("vision", ["cifar10"], 0, tmp_path, None)
    assert worth.collected([tmp_path / "cifar10_0.json"]) == {"knn": {"r2mae": [0.5]}}


def test_a_finished_run_keeps_its_time(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "r2mae", lambda *_: pytest.fail("was started again"))
    (tmp_path / "small.seconds").write_text("12.5")
    assert runs.train(tmp_path, "pretrain", "small", "vision/digits_demo.yaml") == 12.5


def test_predictions_are_compared_with_intervals(runs):
    truth = np.arange(100) % 2
    wrong = np.where(np.arange(100) < 30, 1 - truth, truth)
    predicted = {"r2mae": truth[None], "k-mers": wrong[None]}
    scores = runs.compared("accuracy", predicted, truth)
    assert scores["accuracy"] == {"r2mae": 1.0, "k-mers": 0.7}
    assert 0.05 < scores["accuracy" + runs.OVER_SAMPLES]["k-mers"] < 0.15
    assert json.loads(json.dumps(scores)) == scores


def test_probes_trained_on_copies_are_rows_of_their_own(runs, tmp_path, monkeypatch):
    """Those on complete samples are the same with and without copies."""
    half_width = {"pretrained - raw input": {"difference": 0.3, "half_width": 0.1}}
    methods = {"pretrained": {"accuracy": 0.8}, "raw input": {"accuracy": 0.5}}
    row = {"labels_per_class": 10, "scores": methods, "differences": half_width}
    rows = [row | {"hidden": 0.0}, row | {"hidden": 0.5}]
    document = json.dumps({"task": "knn", "rows": rows})
    monkeypatch.setattr(runs, "r2mae", lambda *_: document)
    arguments = (tmp_path, "run", [], "accuracy", {"knn": "kNN"})
    alone, both = runs.probes(*arguments), runs.probes(*arguments, ", in training")
    assert alone["kNN, 10 labels a class, 50% hidden"]["r2mae"] == 0.8
    accuracies = {key for key in both if runs.OVER_SAMPLES not in key}
    assert accuracies == {
        "kNN, 10 labels a class, 0% hidden",
        "kNN, 10 labels a class, 50% hidden, in training",
    }


def test_measures_of_hidden_shares_are_kept_apart(runs):
    names = {runs.measure_of("kNN", 10, share) for share in (0.0, 0.12, 0.125, 0.5)}
    ends = {name.removeprefix("kNN, 10 labels a class, ") for name in names}
    assert ends == {"0% hidden", "12% hidden", "12.5% hidden", "50% hidden"}


@pytest.mark.parametrize("wing", ["cell", "vision", "language", "dna"])
def test_each_wing_names_its_data_and_peers(worth, wing):
    module = importlib.import_module(f"worth_{wing}")
    assert wing in worth.WINGS
    assert module.NAMES
    assert module.PEERS
    assert callable(module.measure)


def test_scratch_has_half_of_all_operations(worth, tmp_path, monkeypatch):
    module = importlib.import_module("worth_vision")
    documents = {
        module.PRETRAIN_RECIPE: {"training_pflop": 0.3},
        module.FINETUNE_RECIPE: {"plans": {"100": {"training_pflop": 0.1}}},
    }
    monkeypatch.setattr(
        module, "checked", lambda work, recipe, *values: documents[recipe]
    )
    # Four times the operations of fine-tuning in all: twice its steps are half of them.
    assert module.scratch_steps(tmp_path) == 2 * module.FINETUNE_STEPS
