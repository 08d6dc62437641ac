import json
import math

import numpy as np
import pytest

from r2mae.law import FixedRatio, MaskLaw, MixtureRatio, UniformRatio
from r2mae.theory import (
    Spectrum,
    build_covariance,
    build_problem,
    effective_ratio,
    excess_risk,
    isotropic_excess_risk,
    predict,
    regress_on_others,
    simulate,
)
from tests.conftest import SHARED

REFERENCE = SHARED.parent / "theory_reference.json"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_file(), reason=f"{REFERENCE.name} is not beside the checkout"
)
COVARIANCES = {
    "ar1": ("ar1:0.9", 100),
    "equicorrelated": ("equicorrelated:0.5", 0),
    "blocks": ("blocks:25:0.8", 0),
}
CASES = {"isotropic": (np.eye(200), np.eye(200)[0], 0.25)} | {
    case: regress_on_others(build_covariance(name, 201), target)
    for case, (name, target) in COVARIANCES.items()
}
UNIFORM = UniformRatio(0.1, 0.5)


def points():
    return json.loads(REFERENCE.read_text())


def settings(point):
    fixed = point["low"] == point["high"]
    law = (
        FixedRatio(point["low"]) if fixed else UniformRatio(point["low"], point["high"])
    )
    return law, {"test_mask_ratio": point["test_mask_ratio"], "ridge": point["ridge"]}


@needs_reference
def test_every_reference_prediction():
    assert len(points()) == 160
    for point in points():
        law, options = settings(point)
        ours = excess_risk(
            *CASES[point["case"]], point["num_rows"], law, nodes=8, **options
        )
        assert ours == pytest.approx(point["predicted_excess_risk"], rel=1e-4), point


@needs_reference
def test_a_leading_factor_explains_most_of_the_equicorrelated_gaps():
    problem = build_problem(*CASES["equicorrelated"], leading_factors=1)
    plain, conditioned = [], []
    for point in points():
        gap = abs(point["predicted_excess_risk"] / point["simulated_excess_risk"] - 1)
        if point["case"] == "equicorrelated" and gap > 0.08:
            law, options = settings(point)
            ours = predict(problem, point["num_rows"], law, **options).excess_risk
            plain.append(gap)
            conditioned.append(abs(ours / point["simulated_excess_risk"] - 1))
    assert np.median(conditioned) <= np.median(plain) / 2
    assert max(conditioned) <= 0.10


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rows", [50, 150, 1000])
def test_the_isotropic_model_has_a_closed_form(ratio, rows):
    ours = excess_risk(np.eye(120), np.eye(120)[3], 0.3, rows, FixedRatio(ratio))
    assert ours == pytest.approx(
        isotropic_excess_risk(120, rows, ratio, noise_variance=0.3), rel=1e-9
    )


def test_the_ridgeless_peak_is_infinite():
    assert excess_risk(np.eye(50), np.eye(50)[0], 0.1, 50, FixedRatio(0.5)) == math.inf
    assert isotropic_excess_risk(50, 50, 0.5) == math.inf
    assert (
        excess_risk(
            np.eye(50),
            np.eye(50)[0],
            0.1,
            100,
            FixedRatio(0.5),
            objective="reconstruction",
        )
        == math.inf
    )
    with_ridge = excess_risk(
        np.eye(50), np.eye(50)[0], 0.1, 50, FixedRatio(0.5), ridge=1e-3
    )
    assert 1 < with_ridge < math.inf
    assert (
        excess_risk(
            np.eye(50), np.eye(50)[0], 0.1, 50, FixedRatio(0.5), masks_per_row=math.inf
        )
        < 1
    )


def test_dense_and_spectral_paths_agree():
    case = CASES["ar1"]
    values, vectors = np.linalg.eigh(case[0])
    spectral = excess_risk(
        Spectrum(values), vectors.T @ case[1], case[2], 90, UNIFORM, ridge=0.05
    )
    scale = np.ones(200)
    scale[0] += 1e-6  # no longer one variance: the dense path
    dense = excess_risk(
        case[0] * np.outer(scale, scale),
        case[1] / scale,
        case[2],
        90,
        UNIFORM,
        ridge=0.05,
    )
    assert dense == pytest.approx(spectral, rel=1e-5)


def test_unequal_variances_agree_with_simulation():
    scale = np.linspace(0.5, 2, 80)
    case = (
        build_covariance("ar1:0.6", 80) * np.outer(scale, scale),
        np.ones(80) / 9,
        0.5,
    )
    drawn = simulate(*case, 200, UNIFORM, ridge=0.2, test_mask_ratio=0.3)
    ours = excess_risk(*case, 200, UNIFORM, ridge=0.2, test_mask_ratio=0.3)
    assert abs(ours - drawn.excess_risk) < 4 * drawn.standard_error + 0.01 * ours


@pytest.mark.parametrize("objective", ["downstream", "reconstruction"])
@pytest.mark.parametrize(
    "law",
    [
        UniformRatio(0.6, 0.9),
        MixtureRatio((FixedRatio(0.2), FixedRatio(0.8)), (0.5, 0.5)),
    ],
)
def test_with_fresh_masks_a_law_acts_like_one_fixed_ratio(law, objective):
    problem = build_problem(*CASES["ar1"])
    options = {
        "masks_per_row": math.inf,
        "objective": objective,
        "test_mask_ratio": 0.25,
    }
    star = FixedRatio(effective_ratio(law, objective))
    for rows in (50, 200, 1000):
        one = predict(problem, rows, star, **options).excess_risk
        assert predict(problem, rows, law, **options).excess_risk == pytest.approx(
            one, rel=1e-9
        )
    assert effective_ratio(UniformRatio(0.6, 0.9)) == pytest.approx(0.72)


@pytest.mark.parametrize("rows", [60, 400])
def test_fresh_masks_agree_with_simulation(rows):
    case = regress_on_others(build_covariance("ar1:0.7", 121), 60)
    options = {
        "masks_per_row": math.inf,
        "objective": "reconstruction",
        "test_mask_ratio": 0.5,
    }
    drawn = simulate(*case, rows, UNIFORM, **options)
    ours = excess_risk(*case, rows, UNIFORM, **options)
    assert abs(ours - drawn.excess_risk) < 4 * drawn.standard_error + 0.02 * ours


def test_tokens_hide_together():
    case, tokens = (
        regress_on_others(build_covariance("ar1:0.7", 121), 60),
        np.arange(120) // 4,
    )
    for options in ({}, {"masks_per_row": math.inf, "test_mask_ratio": 0.5}):
        drawn = simulate(*case, 400, UNIFORM, tokens=tokens, **options)
        ours = excess_risk(*case, 400, UNIFORM, tokens=tokens, **options)
        assert abs(ours - drawn.excess_risk) < 4 * drawn.standard_error
        alone = excess_risk(*case, 400, UNIFORM, **options)
        assert abs(alone - drawn.excess_risk) > 4 * drawn.standard_error  # it matters


def test_parts_add_up():
    found = predict(build_problem(*CASES["ar1"]), 100, UNIFORM)
    assert found.excess_risk == pytest.approx(found.bias + found.variance)
    assert min(found.bias, found.variance) > 0
    assert found.degrees_of_freedom == pytest.approx(100)  # every row is fitted
    assert predict(
        build_problem(*CASES["ar1"]), 800, UNIFORM
    ).degrees_of_freedom == pytest.approx(200)
    hidden = predict(
        build_problem(*CASES["ar1"]), 1000, UNIFORM, objective="reconstruction"
    )
    assert hidden.num_rows == pytest.approx(300)


def test_a_table_of_levels_is_the_law_that_trains():
    case, law = CASES["blocks"], UniformRatio(0.2, 0.8)
    levels = law.levels(2)
    table = excess_risk(*case, 100, MaskLaw(law, levels=2))
    atoms = MixtureRatio(tuple(FixedRatio(float(p)) for p in levels), (0.5, 0.5))
    assert table == pytest.approx(excess_risk(*case, 100, atoms), rel=1e-12)
    assert table != pytest.approx(excess_risk(*case, 100, law), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariance": [[1, 0.5], [0.4, 1]]}, "covariance must be symmetric"),
        ({"covariance": [[1, 2], [2, 1]]}, "positive semi-definite"),
        (
            {"covariance": [[1, math.nan], [math.nan, 1]]},
            "covariance must be finite, got nan at (0, 1)",
        ),
        (
            {"covariance": [[0, 0], [0, 1]]},
            "variances must be positive, got 0 for feature 0",
        ),
        ({"covariance": [[1, 0, 0], [0, 1, 0]]}, "square matrix, got shape (2, 3)"),
        ({"covariance": "words"}, "covariance must be numbers"),
        (
            {"coefficients": [1, 2, 3]},
            "coefficients must be a vector of 2 numbers, got shape (3,)",
        ),
        ({"coefficients": [1, math.inf]}, "coefficients must be finite, got inf"),
        (
            {"noise_variance": -1},
            "noise_variance must be finite and at least 0, got -1",
        ),
        ({"num_rows": 0}, "num_rows must be finite and at least 1, got 0"),
        ({"law": 0.5}, "law must be a distribution"),
        ({"test_mask_ratio": 1.0}, "test_mask_ratio must be in [0, 1), got 1.0"),
        ({"ridge": -0.1}, "ridge must be finite and at least 0"),
        ({"masks_per_row": 2}, "masks_per_row must be 1 or inf, got 2"),
        (
            {"objective": "both"},
            "objective must be downstream or reconstruction, got both",
        ),
        ({"train_time": 0}, "train_time must be positive, got 0"),
        ({"leading_factors": 2}, "leading_factors must be 0 or 1, got 2"),
        ({"tokens": [1, 2, 3]}, "tokens must be one label per feature"),
    ],
)
def test_bad_input_is_one_line(change, message):
    good = {
        "covariance": np.eye(2),
        "coefficients": [1, 0],
        "noise_variance": 0.1,
        "num_rows": 9,
        "law": UNIFORM,
    }
    with pytest.raises(ValueError) as raised:
        excess_risk(**(good | change))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
