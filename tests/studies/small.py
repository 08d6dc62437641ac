"""A small study of digits, and predictions that take no time."""

import json

import yaml

from r2mae.advice import LawPrediction, LawPredictions
from r2mae.law import FixedRatio
from tests.conftest import DEMO, TINY

UNIFORM = {"ratio": {"uniform": {"low": 0.1, "high": 0.9}}}
LAWS = {
    "fixed 0.25": {"ratio": {"fixed": {"ratio": 0.25}}},
    "fixed 0.75": {"ratio": {"fixed": {"ratio": 0.75}}},
    "stratified": UNIFORM | {"scope": "stratified"},
}


def write_study(folder, **changes):
    """A study file on the tiny digits recipe."""
    settings = dict(entry.split("=", 1) for entry in TINY)
    settings |= {"schedule.steps": "4", "schedule.warmup_steps": "1"}
    document = {
        "recipe": str(DEMO),
        "set": {key: yaml.safe_load(value) for key, value in settings.items()},
        "laws": LAWS,
        "seeds": 2,
        "measure": {
            "ratios": [0.25, 0.75],
            "probes": ["knn"],
            "labels_per_class": [5, "all"],
            "draws": 2,
            "hidden": [0.0, 0.5],
        },
    }
    document["set"].pop("mask.ratio")
    document["set"].pop("watch.every_steps")
    path = folder / "small.yaml"
    path.write_text(json.dumps(document | changes))
    return path


def prediction(regret, halves=None):
    """A prediction with that expected regret."""
    halves = [regret] if halves is None else halves
    return LawPrediction(regret, (regret / 2, 2 * regret), halves, 1 + regret, 0.5)


def predict_at_once(tokens, laws, **options):
    """In place of `predict_laws`: the expected regret of a law is its mean ratio."""
    del options
    return LawPredictions(
        num_rows=len(tokens),
        num_features=16,
        no_advice=None,
        best_fixed=0.3,
        best_fixed_band=(0.2, 0.4),
        least_expected=FixedRatio(0.3),
        fixed_ratios=[0.2, 0.4, 0.6],
        fixed_excess_risks=[2.0, 1.0, 2.0],
        laws=[prediction(law.ratio.mean_ratio) for law in laws],
        warnings=[],
    )
