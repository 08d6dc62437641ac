"""Predictions of a study's laws are written once, before training, and not changed."""

import json
import math
from functools import partial

import pytest

from r2mae.advice import Uncertainty, predict_laws
from r2mae.advice.recipe_data import read_token_values
from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.recipe.load import parse_recipe
from r2mae.studies import theory_card
from r2mae.studies.plan import load_study
from r2mae.studies.queue import count_finished
from r2mae.studies.theory_card import read_theory_card, write_theory_card
from tests.studies.small import LAWS, predict_at_once, write_study

FEW = dict(list(LAWS.items())[:2])


@pytest.fixture
def study(scratch):
    return load_study(str(write_study(scratch)))


def card_file(study):
    return study.folder / "theory.json"


def test_a_card_is_written_once(study):
    assert read_theory_card(study) is None
    assert write_theory_card(study) == list(LAWS)
    before = card_file(study).read_bytes()
    assert write_theory_card(study) == []
    assert card_file(study).read_bytes() == before
    card = read_theory_card(study)
    regrets = {name: law.expected_regret for name, law in card.laws.items()}
    expected = {"fixed 0.25": 0.25, "fixed 0.75": 0.75, "stratified": 0.5}
    assert regrets == pytest.approx(expected)
    assert card.data["best_fixed"] == 0.3
    assert card.unavailable is None
    assert card.parts[0]["trials_started"] == 0


def test_it_holds_what_the_theory_predicts_from_the_data_of_the_recipe(
    study, monkeypatch
):
    quick = {
        "uncertainty": Uncertainty((1.0,), (0.5,), (1.0,), (math.inf,)),
        "bootstrap": 1,
    }
    monkeypatch.setattr(theory_card, "predict_laws", partial(predict_laws, **quick))
    write_theory_card(study)
    card = read_theory_card(study)
    recipe = parse_recipe(study.base, "study")
    tokens, num_rows = read_token_values(recipe)
    laws = [MaskLaw(FixedRatio(0.25)), MaskLaw(FixedRatio(0.75))]
    laws.append(MaskLaw(UniformRatio(0.1, 0.9), scope="stratified"))
    predictions = predict_laws(
        tokens, laws, num_rows=num_rows, seed=recipe.seed, **quick
    )
    assert card.data["best_fixed"] == predictions.best_fixed
    assert card.data["fixed_excess_risks"] == predictions.fixed_excess_risks
    for law, prediction in zip(LAWS, predictions.laws, strict=True):
        assert card.laws[law].expected_regret == prediction.expected_regret
        assert card.laws[law].half_sample_regrets == prediction.half_sample_regrets


def test_a_changed_card_is_refused_before_anything_trains(study, scratch, capsys):
    write_theory_card(study)
    text = card_file(study).read_text()
    for changed in (
        text.replace('"expected_regret": 0.25', '"expected_regret": 0.2'),
        text.replace('"trials_started": 0', '"trials_started": 1'),
        text[:-20],
        "{}",
        "3",
    ):
        assert changed != text
        card_file(study).write_text(changed)
        with pytest.raises(InputError, match="as it was written before training"):
            read_theory_card(study)
        with pytest.raises(InputError, match="or delete it to do without"):
            write_theory_card(study)
    assert main(["study", str(scratch / "small.yaml")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert count_finished(study) == 0


def test_a_law_added_later_has_a_part_of_its_own(scratch):
    write_theory_card(load_study(str(write_study(scratch, laws=FEW))))
    study = load_study(str(write_study(scratch)))
    (first,) = json.loads(card_file(study).read_text())
    study.path(study.trials[0]).mkdir(parents=True)
    assert write_theory_card(study) == ["stratified"]
    parts = json.loads(card_file(study).read_text())
    assert parts[0] == first
    assert list(parts[1]["laws"]) == ["stratified"]
    assert parts[1]["previous"] == first["sha256"]
    assert parts[1]["trials_started"] == 0  # the trial is of another law
    assert list(read_theory_card(study).laws) == list(LAWS)
    card_file(study).write_text(json.dumps(parts[1:]))
    with pytest.raises(InputError, match="as it was written"):
        read_theory_card(study)


def test_a_card_written_after_training_shows_it(study):
    for trial in study.trials[:2]:
        study.path(trial).mkdir(parents=True)
    write_theory_card(study)
    assert read_theory_card(study).parts[0]["trials_started"] == 2


@pytest.mark.parametrize("error", [InputError("too few samples."), ZeroDivisionError()])
def test_a_failure_is_recorded_and_tried_again(study, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(theory_card, "predict_laws", fail)
    assert write_theory_card(study) == []
    card = read_theory_card(study)
    assert card.laws == {}
    assert card.unavailable in (
        "too few samples.",
        "ZeroDivisionError: ZeroDivisionError",
    )
    monkeypatch.setattr(theory_card, "predict_laws", predict_at_once)
    assert write_theory_card(study) == list(LAWS)
    assert len(read_theory_card(study).parts) == 1


def test_a_law_with_a_schedule_has_no_prediction(scratch):
    ramp = {"schedule": {"linear": {"to": {"fixed": {"ratio": 0.5}}}}}
    laws = FEW | {"ramp": LAWS["fixed 0.25"] | ramp}
    study = load_study(str(write_study(scratch, laws=laws)))
    assert write_theory_card(study) == list(FEW)


def test_the_command_writes_it_with_a_slurm_script(scratch, capsys):
    path = write_study(scratch)
    assert main(["study", str(path), "--slurm", "2"]) == 0
    assert "fixed 0.25 has the least predicted regret" in capsys.readouterr().err
    assert read_theory_card(load_study(str(path))).parts[0]["trials_started"] == 0


def test_a_study_goes_on_without_predictions_and_its_report_says_why(
    scratch, monkeypatch, capsys
):
    def fail(*arguments, **options):
        raise InputError("data must have at least 20 samples, got 3.")

    monkeypatch.setattr(theory_card, "predict_laws", fail)
    path = write_study(scratch, laws=FEW, seeds=1, measure={"probes": []})
    assert main(["study", str(path)]) == 0
    output = capsys.readouterr()
    assert "no theory predictions, because data must have at least 20" in output.err
    assert "theory:" not in output.out
    page = (scratch / "studies/small/report.html").read_text()
    assert "The theory predicts nothing of this study: data must have" in page
