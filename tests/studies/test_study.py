"""A small study from its file to its report."""

import csv
import json
import math
import subprocess
import sys
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from r2mae.cli.main import main
from r2mae.data.lock import acquire, file_lock
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from r2mae.schema.study import MeasureSection
from r2mae.studies import trial as trial_module
from r2mae.studies.budget import planned_steps, training_pflop
from r2mae.studies.measure import check_tasks, measure_run
from r2mae.studies.plan import load_study
from r2mae.studies.queue import (
    count_finished,
    describe_unmeasured,
    failures,
    forget_failures,
    work,
)
from r2mae.studies.theory_card import write_theory_card
from r2mae.studies.trial import is_finished, measurements_of, read_measurements
from r2mae.wing_commands import Task
from tests.conftest import ROOT
from tests.studies.small import LAWS, UNIFORM, write_study


def test_trials_are_ordinary_runs_and_the_report_compares_them(scratch, capsys):
    path = write_study(scratch)
    assert main(["study", str(path)]) == 0
    study = load_study(str(path))
    assert count_finished(study) == len(study.trials) == 6
    for trial in study.trials:
        measured = read_measurements(study.path(trial))
        assert "knn, all labels, 50% hidden" in measured
        assert measured["knn, all labels"].items.shape == (360,)
        assert 0.1 < measured["held-out loss at 0.25"].value < 4
    capsys.readouterr()
    one = str(study.path(study.trials[0]))
    assert main(["evaluate", one, "--task", "knn", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)
    assert "scores" in json.dumps(accuracy)
    rows = list(csv.DictReader((study.folder / "comparisons.csv").open()))
    assert {row["law"] for row in rows} == set(LAWS)
    assert len(rows) == 3 * (2 + 4)
    for row in rows:
        if row["law"] == row["oracle"]:
            assert float(row["gain_over_oracle"]) == 0
    page = (study.folder / "report.html").read_text()
    _check_self_contained(page)
    assert page.count("<svg") == 5


def _check_self_contained(page):
    class Checker(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag not in ("script", "link", "img"), tag
            for name, value in attributes:
                if name in ("src", "href", "xlink:href"):
                    assert value.startswith("#"), (tag, name, value)

    Checker().feed(page)


def test_hidden_samples_are_harder(scratch):
    """Trained a little, kNN needs what is hidden."""
    path = write_study(scratch, seeds=1)
    study = load_study(str(path), ["schedule.steps=60"])
    study.start()
    trial_module.run_trial(study, study.trials[2])
    measured = read_measurements(study.path(study.trials[2]))
    complete, half = (
        measured["knn, all labels"],
        measured["knn, all labels, 50% hidden"],
    )
    assert half.value < complete.value - 0.05


def test_a_killed_study_continues_without_repeating_a_trial(scratch):
    path = write_study(scratch)
    longer = ["--set", "schedule.steps=40"]
    study = load_study(str(path), longer[1:])
    write_theory_card(study)  # the process would take long
    command = [sys.executable, "-m", "r2mae", "study", str(path), "--jobs", "2"]
    command += longer
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not count_finished(study):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    locks = [study.trials_folder / f".{trial.name}.lock" for trial in study.trials]
    while not all(is_free(lock) for lock in locks):  # the workers end with it
        time.sleep(0.1)
    numbers = {
        trial.name: study.path(trial) / "measurements.json"
        for trial in study.trials
        if is_finished(study, trial)
    }
    assert 1 <= len(numbers) < 6
    before = {name: file.stat().st_mtime_ns for name, file in numbers.items()}
    assert main(["study", str(path), *longer]) == 0
    assert count_finished(study) == 6
    assert {name: file.stat().st_mtime_ns for name, file in numbers.items()} == before


def is_free(path):
    lock = file_lock(path)
    is_acquired = acquire(lock, wait=False)
    lock.release()
    return is_acquired


def test_a_failed_trial_stops_nothing_and_is_tried_again(scratch, monkeypatch, capsys):
    path = write_study(scratch, seeds=1)
    study = load_study(str(path))
    measure = trial_module.measure_run

    def fail_once(loaded, section):
        if loaded.recipe.mask.scope == "stratified":
            raise RuntimeError("planted")
        return measure(loaded, section)

    monkeypatch.setattr(trial_module, "measure_run", fail_once)
    assert main(["study", str(path)]) == 2
    assert "1 trials failed" in capsys.readouterr().err
    assert count_finished(study) == 2
    assert list(failures(study).values()) == ["RuntimeError: planted"]
    monkeypatch.setattr(trial_module, "measure_run", measure)
    forget_failures(study)
    work(study)
    assert count_finished(study) == 3
    assert not failures(study)


def test_a_trial_whose_loss_is_not_finite_fails_and_leaves_other_laws_alone(
    scratch, capsys
):
    measure = {"ratios": [0.25, 0.75], "probes": []}
    path = str(write_study(scratch, measure=measure))
    assert main(["study", path]) == 0
    study = load_study(path)
    diverged = study.trials[0]
    run, numbers = (
        study.path(diverged) / name for name in ("run.json", "measurements.json")
    )
    status = json.loads(run.read_text())
    status["metrics"]["validation/loss_at_0.25"] = math.nan
    run.write_text(json.dumps(status))
    measured = json.loads(numbers.read_text())
    measured["held-out loss at 0.25"]["value"] = math.nan  # as trials once were stored
    numbers.write_text(json.dumps(measured))
    assert not is_finished(study, diverged)
    capsys.readouterr()
    assert main(["study", path]) == 2
    printed = capsys.readouterr()
    assert "nan" not in printed.out
    assert (
        f"{diverged.name} failed: held-out loss at 0.25 must be finite to compare a law, got nan"
        in printed.err
    )
    assert "a lower optimizer.lr, or with optimizer.clip_norm, by --set." in printed.err
    assert printed.err.endswith(
        "1 trials failed. Mend what they say, then the same command tries them again; "
        "other settings need another --name.\n"
    )
    page = (study.folder / "report.html").read_text()
    assert f"{diverged.name} failed: held-out loss" in page
    assert "nan%" not in page
    rows = list(csv.DictReader((study.folder / "regrets.csv").open()))
    assert {row["law"] for row in rows} == set(LAWS)
    assert all(math.isfinite(float(row["mean_regret"])) for row in rows)
    assert "nan" not in (study.folder / "trials.csv").read_text()


def test_equal_flops_gives_laws_that_hide_more_more_steps(scratch):
    path = write_study(scratch, budget="equal_flops")
    study = load_study(str(path), ["schedule.steps=200", "schedule.warmup_steps=20"])
    recipes = {trial.law: trial.recipe for trial in study.trials}
    costs = {law: training_pflop(recipe) for law, recipe in recipes.items()}
    assert max(costs.values()) / min(costs.values()) < 1.01
    steps = {law: planned_steps(recipe) for law, recipe in recipes.items()}
    assert steps["fixed 0.25"] < steps["stratified"] < steps["fixed 0.75"]
    for law, recipe in recipes.items():
        assert recipe.schedule.warmup_steps == pytest.approx(steps[law] / 10, abs=1)


def test_axes_multiply_the_trials(scratch):
    path = write_study(scratch, vary={"model.depth": [1, 2], "data.held_out": [0.1]})
    study = load_study(str(path))
    assert len(study.trials) == 3 * 2 * 2
    names = {trial.name for trial in study.trials}
    assert "stratified_depth-2_held-out-0.1_seed-1" in names
    depths = {len(trial.variant) and trial.recipe.model.depth for trial in study.trials}
    assert depths == {1, 2}


TWICE = {"one": UNIFORM, "two": UNIFORM}
BAD = [
    ({"laws": {"a": UNIFORM}}, "laws must hold at least 2"),
    ({"laws": TWICE}, "laws must differ, got 'one' and 'two' with the same mask"),
    (
        {"laws": LAWS | {"x": {"ratio": {"fixed": {"ratio": 75}}}}},
        "law 'x': mask.ratio.fixed.ratio must be in (0, 1)",
    ),
    (
        {"laws": LAWS | {"x": UNIFORM | {"pattern": "whole"}}},
        "law 'x': mask.pattern must be",
    ),
    (
        {"laws": LAWS | {"x": UNIFORM | {"scope": "stratified", "levels": 5}}},
        "multiple of mask.levels = 5",
    ),
    (
        {"laws": LAWS | {"fixed-0.25": UNIFORM}},
        "must differ in letters or digits",
    ),
    (
        {"laws": LAWS | {"STRATIFIED": {"ratio": {"fixed": {"ratio": 0.5}}}}},
        'case aside, got 2 trials in the same folder, of "stratified, STRATIFIED". Rename one.',
    ),
    (
        {"vary": {"model.dept": [1]}},
        "model.dept must be a key of model. Did you mean depth?",
    ),
    ({"vary": {"model.depth": []}}, "vary.model.depth must list different values"),
    ({"vary": {"model.depth": [1, 1]}}, "must list different values, got [1, 1]"),
    ({"measure": {"labels_per_class": [0]}}, "labels_per_class"),
    ({"vary": {"seed": [1]}}, "got seed. Use seeds."),
    ({"vary": {"mask.levels": [4]}}, "got mask.levels. Use laws."),
    (
        {"budget": "equal_time"},
        "budget must be 'equal_steps', 'equal_samples' or 'equal_flops'",
    ),
    ({"measure": {"ratios": [25]}}, "measure.ratios must be in (0, 1)"),
    ({"measure": {"hidden": [1.0]}}, "measure.hidden must be in [0, 1)"),
    ({"seeds": 0}, "seeds must be"),
    ({"primary": "fixed 0.5"}, "primary must be one of the laws"),
    (
        {"measure": {"tasks": {"any": {"task": "imputation", "value": "a"}}}},
        "measure.tasks.any.task must be a task of vision",
    ),
    (
        {"measure": {"tasks": {"fine-tuned, 5": {"task": "knn", "value": "a"}}}},
        "must not have the name of another measurement, got 'fine-tuned, 5'",
    ),
    (
        {"measure": {"tasks": {"probes": {"task": "knn", "value": "a"}}}},
        "must not have the name of another measurement, got 'probes'",
    ),
    (
        {"measure": {"tasks": {"held-out loss": {"task": "knn", "value": "a"}}}},
        "must not have the name of another measurement, got 'held-out loss'",
    ),
    (
        {"measure": {"tasks": {"any": {"task": "knn", "value": "rows..accuracy"}}}},
        "value must be keys separated by dots, got 'rows..accuracy'",
    ),
    (
        {"measure": {"tasks": {" ": {"task": "knn", "value": "a"}}}},
        "measure.tasks must have names that are not empty, got ' '",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_studies_are_one_line_before_anything_trains(scratch, changes, message):
    path = write_study(scratch, **changes)
    with pytest.raises(InputError) as caught:
        load_study(str(path))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (scratch / "studies").exists()


def test_more_labels_than_a_class_has_are_refused_before_anything_trains(
    scratch, capsys
):
    measure = {"ratios": [0.25], "labels_per_class": [5, 100000]}
    assert main(["study", str(write_study(scratch, measure=measure))]) == 2
    error = capsys.readouterr().err
    assert "labels_per_class must be at most" in error
    assert "got 100000" in error
    assert not (scratch / "studies").exists()


def test_a_warm_up_longer_than_training_is_refused_before_anything_trains(
    scratch, capsys
):
    path = str(write_study(scratch))
    assert main(["study", path, "--set", "schedule.warmup_steps=9"]) == 2
    assert "shorter than training, got 9 of 4 steps" in capsys.readouterr().err
    assert not (scratch / "studies").exists()


def test_a_folder_of_another_study_is_refused(scratch):
    path = write_study(scratch)
    load_study(str(path)).start()
    with pytest.raises(
        InputError, match="must hold the same study to continue, but its recipe or set"
    ):
        load_study(str(path), ["schedule.steps=5"]).start()
    load_study(str(path), seeds=7).start()  # further seeds are added
    with pytest.raises(InputError, match="seeds must be at most 100"):
        load_study(str(path), seeds=500)


def test_a_study_that_says_the_same_in_other_words_continues(scratch):
    path = write_study(scratch)
    load_study(str(path)).start()
    document = json.loads(path.read_text())
    document["set"]["seed"] = 0  # the recipe's own
    path.write_text(json.dumps(document))
    load_study(str(path)).start()


def test_a_law_may_not_change_under_its_name(scratch):
    load_study(str(write_study(scratch))).start()
    changed = LAWS | {"fixed 0.25": {"ratio": {"fixed": {"ratio": 0.3}}}}
    with pytest.raises(InputError, match="law 'fixed 0.25' must stay the same"):
        load_study(str(write_study(scratch, laws=changed))).start()
    fewer = {name: LAWS[name] for name in ("fixed 0.75", "stratified")}
    load_study(str(write_study(scratch, laws=fewer))).start()
    more = fewer | {"fixed 0.25": changed["fixed 0.25"]}
    with pytest.raises(InputError, match="law 'fixed 0.25' must stay the same"):
        load_study(str(write_study(scratch, laws=more))).start()


@pytest.mark.parametrize("name", ["fixed-0.25", "Fixed 0.25"])
def test_a_new_law_may_not_take_the_folders_of_an_earlier_one(scratch, name):
    load_study(str(write_study(scratch))).start()
    others = {law: LAWS[law] for law in ("fixed 0.75", "stratified")}
    other = {name: {"ratio": {"fixed": {"ratio": 0.3}}}}
    with pytest.raises(
        InputError, match=f"law '{name}' must not have the trial folders"
    ):
        load_study(str(write_study(scratch, laws=others | other))).start()


def test_tasks_of_the_modality_are_measured(scratch):
    path = write_study(
        scratch,
        recipe=str(ROOT / "recipes/language/topics_demo.yaml"),
        set={
            "data.length": 32,
            "data.tokenizer": {"kind": "wordpiece", "vocab_size": 300},
            "model": {"encoder": "bert", "width": 16, "depth": 1, "heads": 2},
            "schedule": {"steps": 2},
            "watch.samples": 16,
        },
        seeds=1,
        measure={
            "ratios": [0.25],
            "probes": [],
            "tasks": {
                "masked": {
                    "task": "masked",
                    "value": "scores.0.accuracy",
                    "options": {"ratios": "0.25"},
                }
            },
        },
    )
    study = load_study(str(path))
    study.start()
    trial_module.run_trial(study, study.trials[0])
    measured = read_measurements(study.path(study.trials[0]))
    assert 0 <= measured["masked"].value <= 1
    section = study.section.measure
    loaded = load_run(str(study.path(study.trials[0])))
    for value, message in (
        ("scores.7.accuracy", "got '7' where there is 0."),
        ("scores.0", "got scores.0, where there is a dict."),
        ("scores.0.acuracy", "got 'acuracy' where there is"),
    ):
        task = section.tasks["masked"].model_copy(update={"value": value})
        changed = section.model_copy(update={"tasks": {"masked": task}})
        with pytest.raises(InputError, match=message):
            measure_run(loaded, changed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("measurements.json", b"[]"),
        ("measurements.json", b'{"a": {"value": "x", "better": "higher"}}'),
        ("measurements.json", b"{"),
        ("items.npz", b"junk"),
        ("items.npz", b""),
        ("items.npz", None),
    ],
)
def test_damaged_measurements_are_refused(tmp_path, name, content):
    (tmp_path / "measurements.json").write_text(
        '{"a": {"value": 1, "better": "higher"}}'
    )
    np.savez_compressed(tmp_path / "items.npz", a=np.ones(2))
    assert read_measurements(tmp_path)["a"].value == 1
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    got = "no items.npz" if content is None else "other content"
    with pytest.raises(InputError, match=f"got {got}. Delete measurements.json"):
        read_measurements(tmp_path)


def test_a_measurement_is_added_without_training_and_left_out_again(
    scratch, monkeypatch
):
    measure = {"ratios": [0.25], "probes": ["knn"], "hidden": [0.0, 0.5]}
    study = load_study(str(write_study(scratch, seeds=1, measure=measure)))
    study.start()
    first = study.trials[0]
    trial_module.run_trial(study, first)
    before = set(measurements_of(study, first))
    assert before == study.measurement_names

    more = measure | {"hide_in_training": True, "probes": ["knn", "linear_probe"]}
    changed = load_study(str(write_study(scratch, seeds=1, measure=more)))
    changed.start()
    assert not is_finished(changed, first)
    line = describe_unmeasured(changed)
    assert line is not None
    assert line.startswith("Trained runs that lack measurements of this study: 1.")
    trained = (study.path(first) / "metrics.csv").read_bytes()
    trial_module.run_trial(changed, first)
    assert (study.path(first) / "metrics.csv").read_bytes() == trained
    added = set(measurements_of(changed, first)) - before
    assert added == {
        "knn, all labels, 50% hidden, also in training",
        "linear_probe, all labels",
        "linear_probe, all labels, 50% hidden",
        "linear_probe, all labels, 50% hidden, also in training",
    }
    study.start()
    assert is_finished(study, first)
    assert set(measurements_of(study, first)) == before


def test_a_probe_that_saw_partly_hidden_samples_reads_them_better(scratch, monkeypatch):
    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 60)
    probes = ["linear_probe", "attentive_probe"]
    measure = {"ratios": [0.25], "probes": probes, "hidden": [0.75]}
    measure |= {"hide_in_training": True, "labels_per_class": [40], "draws": 2}
    study = load_study(
        str(write_study(scratch, seeds=1, measure=measure)), ["schedule.steps=60"]
    )
    study.start()
    trial_module.run_trial(study, study.trials[2])
    measured = measurements_of(study, study.trials[2])
    for probe in probes:
        name = f"{probe}, 40 labels per class, 75% hidden"
        gain = measured[f"{name}, also in training"].value - measured[name].value
        assert gain > 0.03, probe


@pytest.mark.parametrize("text", ["{", "[1]", "3", "{}"])
def test_a_damaged_study_is_refused(scratch, text):
    study = load_study(str(write_study(scratch)))
    study.start()
    (study.folder / "study.json").write_text(text)
    with pytest.raises(InputError, match=r"study\.json"):
        study.start()
    assert (study.folder / "study.json").read_text() == text


@pytest.mark.parametrize("options", [{"fold": 3}, {"help": True}, {"h": True}])
def test_options_of_a_task_are_checked_before_anything_trains(scratch, options):
    task = {"task": "masked", "value": "rows", "options": options}
    with pytest.raises(InputError, match="masked.options must be options of the task"):
        load_study(
            str(
                write_study(
                    scratch,
                    recipe=str(ROOT / "recipes/language/topics_demo.yaml"),
                    set={},
                    measure={"tasks": {"masked": task}},
                )
            )
        )


RECIPES = {
    "language": "topics_demo",
    "dna": "motifs_demo",
    "cell": "pbmc3k_mlp",
    "algebra": "modular_addition_demo",
}


def checked(modality, task, settings=(), **options):
    """`check_tasks` of one task with these options, on a recipe with these settings."""
    named = {"any": {"task": task, "value": "rows", "options": options}}
    section = MeasureSection.model_validate({"tasks": named})
    recipe = load_recipe(RECIPES[modality], list(settings))
    check_tasks(section, find_wing(modality), recipe)


@pytest.mark.parametrize(
    ("modality", "task", "options", "message"),
    [
        ("language", "masked", {"ratios": "15"}, "argument --ratios: must be up to 16"),
        ("dna", "masked", {"ratios": "0.1,x"}, "argument --ratios: must be up to 16"),
        ("cell", "imputation", {"ratios": 1.0}, "argument --ratios: must be up to 16"),
        ("cell", "clustering", {"umap": "a.pdf"}, "--umap: must end in .png"),
        ("algebra", "vote", {"vote-picture": "a.pdf"}, "must end in .png, got 'a.pdf'"),
        ("dna", "variant_effect", {}, "--variants must be set"),
        ("dna", "variant_effect", {"variants": "a.vcf"}, "--label must be set"),
        (
            "dna",
            "variant_effect",
            {"variants": "a.vcf", "label": "y"},
            "--variants must be a file, got 'a.vcf'",
        ),
        (
            "dna",
            "variant_effect",
            {"variants": __file__, "label": "y", "negative": "1"},
            "--positive and --negative must differ",
        ),
        (
            "dna",
            "variant_effect",
            {"variants": __file__, "label": "y", "alias": "chrM"},
            "--alias must be LEFT=RIGHT, got 'chrM'",
        ),
        (
            "dna",
            "variant_effect",
            {"variants": __file__, "label": "y", "reference": "gone.fa"},
            "--reference: gone.fa must be a file, or a glob",
        ),
        (
            "dna",
            "variant_effect",
            {"variants": __file__, "label": "y", "reference": "/"},
            "--reference: must be a store, a file or a glob, got the folder",
        ),
    ],
)
def test_values_of_options_are_checked_before_anything_trains(
    modality, task, options, message
):
    with pytest.raises(InputError) as error:
        checked(modality, task, **options)
    assert str(error.value).startswith("measure.tasks.any")
    assert message in str(error.value)


SCALED = ("data.values=scaled", "model.likelihood=mse")


@pytest.mark.parametrize(
    ("modality", "task", "settings", "message"),
    [
        ("cell", "imputation", SCALED, "raw counts, got data.values scaled"),
        ("cell", "clustering", ("data.card=cell_files",), "a column of labels"),
        ("algebra", "vote", ("model.encoder=transformer",), "a two-layer network"),
        ("algebra", "lottery", ("model.activation=relu",), "a quadratic activation"),
        ("algebra", "lottery", ("model.init_from=runs/x",), "follow from its seed"),
        ("algebra", "alignment_rates", ("mask.slots=any",), "product is hidden"),
    ],
)
def test_a_task_that_the_recipe_cannot_do_is_refused(modality, task, settings, message):
    checked(modality, task)
    with pytest.raises(InputError, match=message) as error:
        checked(modality, task, settings)
    assert str(error.value).startswith(f"measure.tasks.any: task {task} must have")


def test_a_task_is_refused_before_anything_trains_for_one_variant(scratch, capfd):
    changes = {
        "recipe": str(ROOT / "recipes/algebra/modular_addition_demo.yaml"),
        "set": {},
        "laws": {
            "low": {"ratio": UNIFORM["ratio"]},
            "half": {"ratio": LAWS["fixed 0.25"]["ratio"]},
        },
        "vary": {"model.encoder": ["two_layer", "transformer"]},
        "measure": {
            "probes": [],
            "tasks": {"vote": {"task": "vote", "value": "subsets"}},
        },
    }
    path = str(write_study(scratch, **changes))
    for options in ((), ("--dry-run",)):
        assert main(["study", path, *options]) == 2
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert "measure.tasks.vote: task vote must have a two-layer network" in error
    assert not (scratch / "studies").exists()


def test_a_task_of_a_study_reads_the_labels_that_its_options_name():
    checked("dna", "variant_effect", variants=__file__, label="y")
    options = {"label": "grade"}
    task = {"task": "any", "value": "column", "options": options}
    section = MeasureSection.model_validate(
        {"ratios": (0.5,), "probes": (), "tasks": {"column": task}}
    )
    names = {"label": 0.0, "grade": 1.0}
    task = Task(
        "", lambda _, recipe, __: {"column": names[recipe.data.label_column]}, str
    )
    folder = SimpleNamespace(
        path="run", read_status=lambda: {"metrics": {"validation/loss_at_0.5": 1.0}}
    )
    loaded = SimpleNamespace(
        wing=SimpleNamespace(tasks={"any": task}),
        recipe=load_recipe("sst2_finetune", ["data.label_column=label"]),
        folder=folder,
    )
    assert measure_run(loaded, section)["column"].value == 1


def test_an_option_that_is_false_is_not_given():
    options = {"baselines": False, "ratios": "0.5"}
    task = {"task": "masked", "value": "scores.0.accuracy", "options": options}
    section = MeasureSection.model_validate({"tasks": {"masked": task}})
    check_tasks(section, find_wing("language"), load_recipe("topics_demo"))


@pytest.mark.parametrize(
    ("result", "message"),
    [(float("nan"), "finite number, got rows, where there is nan"), (True, "a bool")],
)
def test_what_a_task_returns_must_be_a_finite_number(result, message):
    task = {"task": "masked", "value": "rows", "options": {"ratios": "0.5"}}
    section = MeasureSection.model_validate(
        {"ratios": (0.5,), "probes": (), "tasks": {"any": task}}
    )
    returned = SimpleNamespace(
        add_arguments=find_wing("language").tasks["masked"].add_arguments,
        check=lambda *_: None,
        run=lambda *_: {"rows": result},
    )
    loaded = SimpleNamespace(
        wing=SimpleNamespace(tasks={"masked": returned}),
        recipe=None,
        folder=SimpleNamespace(
            path="run",
            read_status=lambda: {"metrics": {"validation/loss_at_0.5": 1.0}},
        ),
    )
    with pytest.raises(InputError, match=message):
        measure_run(loaded, section)


def test_attentive_probes_are_measured_with_parts_hidden(scratch, monkeypatch):
    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 20)
    measure = {
        "ratios": [0.25],
        "probes": ["attentive_probe"],
        "labels_per_class": [5, "all"],
        "draws": 2,
        "hidden": [0.0, 0.5],
    }
    study = load_study(str(write_study(scratch, seeds=1, measure=measure)))
    study.start()
    trial_module.run_trial(study, study.trials[0])
    measured = read_measurements(study.path(study.trials[0]))
    assert list(measured) == [
        "held-out loss at 0.25",
        "attentive_probe, 5 labels per class",
        "attentive_probe, 5 labels per class, 50% hidden",
        "attentive_probe, all labels",
        "attentive_probe, all labels, 50% hidden",
    ]
    few, few_hidden, many, _ = list(measured.values())[1:]
    assert 0.1 < few.value < many.value
    assert few_hidden.value != few.value
    assert many.items.shape == (360,)
