import json
import math
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from r2mae.law import (
    DISTRIBUTIONS,
    SCHEDULES,
    BetaRatio,
    CosineSchedule,
    FixedRatio,
    MaskLaw,
    MixtureRatio,
    StepwiseSchedule,
    TruncatedNormalRatio,
    UniformRatio,
)

ATOMS = MixtureRatio(
    (FixedRatio(0.7), UniformRatio(0.6, 0.8), BetaRatio(2, 2, 0.1, 0.3)),
    (0.3, 0.4, 0.3),
)


def test_tables_are_pure_and_cannot_be_spoiled():
    law = MaskLaw(ATOMS)
    first = law.table(0.0)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(law.table(0.0), kept)
    np.testing.assert_array_equal(MaskLaw(ATOMS).table(1.0), kept)


def test_table_and_mean_of_a_law():
    law = MaskLaw(UniformRatio(0.6, 0.9), levels=3)
    np.testing.assert_allclose(law.table(0.3), [0.65, 0.75, 0.85], rtol=1e-15)
    assert law.mean() == pytest.approx(0.75, rel=1e-15)
    np.testing.assert_array_equal(MaskLaw(FixedRatio(0.4), levels=8).table(0.5), [0.4])
    # The table's mean, which trains, is not the continuous mean, 2/3.
    assert MaskLaw(BetaRatio(2, 1), levels=1).mean() == pytest.approx(
        math.sqrt(0.5), rel=1e-14
    )


def test_to_dict_speaks_recipe():
    assert MaskLaw(UniformRatio(0.6, 0.9)).to_dict() == {
        "ratio": {"uniform": {"low": 0.6, "high": 0.9}},
        "levels": 8,
        "scope": "step",
        "schedule": None,
        "weight": "token",
    }
    mixed = MixtureRatio(
        (FixedRatio(0.5), BetaRatio(2, 5), TruncatedNormalRatio(0.5, 0.1, 0.2, 0.9)),
        (0.5, 0.25, 0.25),
    )
    law = MaskLaw(mixed, 4, "sample", StepwiseSchedule((0.5,), (FixedRatio(0.3),)))
    parts = [
        {"fixed": {"ratio": 0.5}},
        {"beta": {"a": 2.0, "b": 5.0, "low": 0.0, "high": 1.0}},
        {"truncated_normal": {"mean": 0.5, "sd": 0.1, "low": 0.2, "high": 0.9}},
    ]
    want = {
        "ratio": {"mixture": {"components": parts, "weights": [0.5, 0.25, 0.25]}},
        "levels": 4,
        "scope": "sample",
        "schedule": {"stepwise": {"at": [0.5], "to": [{"fixed": {"ratio": 0.3}}]}},
        "weight": "token",
    }
    assert law.to_dict() == want
    assert json.loads(json.dumps(law.to_dict())) == want
    cosine = MaskLaw(
        FixedRatio(np.float64(0.5)),
        schedule=CosineSchedule(UniformRatio(0, 1), end=0.5),
    ).to_dict()
    assert cosine["schedule"] == {
        "cosine": {
            "to": {"uniform": {"low": 0.0, "high": 1.0}},
            "start": 0.0,
            "end": 0.5,
        }
    }
    # Whole numbers of a caller turn up as a recipe would hold them.
    assert json.dumps(cosine["schedule"]).count("0.0") == 2


def test_tags_are_complete():
    assert list(DISTRIBUTIONS) == [
        "fixed",
        "uniform",
        "beta",
        "truncated_normal",
        "mixture",
    ]
    assert list(SCHEDULES) == ["linear", "cosine", "stepwise"]
    assert [field.name for field in fields(MaskLaw)] == [
        "ratio",
        "levels",
        "scope",
        "schedule",
        "weight",
    ]


def test_import_loads_neither_scipy_nor_torch():
    code = "import sys, r2mae.law; print(sorted({'scipy', 'torch', 'pydantic'} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("scope", "weight", "expected"),
    [
        ("step", "token", False),
        ("sample", "token", True),
        ("stratified", "token", True),
        ("step", "sum", True),
        ("sample", "sum", True),
        ("stratified", "inverse_ratio", False),
        ("sample", "sample", False),
    ],
)
def test_high_ratios_weigh_more_where_all_masked_tokens_weigh_alike(
    scope, weight, expected
):
    law = MaskLaw(FixedRatio(0.5), scope=scope, weight=weight)
    assert law.weighs_tokens_equally is expected
