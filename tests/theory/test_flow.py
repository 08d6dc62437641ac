import cmath
import math

import numpy as np
import pytest

from r2mae.law import UniformRatio
from r2mae.theory import build_covariance, excess_risk, regress_on_others, simulate
from r2mae.theory.flow import flow_nodes

UNIFORM = UniformRatio(0.1, 0.5)


@pytest.mark.parametrize("moment", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("eigenvalue", [0.0, 1e-3, 0.7, 40.0])
def test_the_sum_of_ridge_fits_is_gradient_flow(moment, eigenvalue):
    ours = sum(
        2 * (amount / (eigenvalue + shift)).real for amount, shift in flow_nodes(moment)
    )
    exact = -math.expm1(-moment * eigenvalue) / eigenvalue if eigenvalue else moment
    assert ours == pytest.approx(exact, rel=1e-6, abs=1e-9 * moment)
    assert all(
        shift.imag > 0 and cmath.isfinite(amount)
        for amount, shift in flow_nodes(moment)
    )


@pytest.mark.parametrize("masks", [1, math.inf])
@pytest.mark.parametrize("moment", [0.5, 4.0])
def test_stopped_training_agrees_with_gradient_descent(masks, moment):
    covariance, b, noise = regress_on_others(build_covariance("ar1:0.7", 161), 80)
    options = {"train_time": moment, "masks_per_row": masks}
    drawn = simulate(covariance, b, noise + 0.3, 400, UNIFORM, num_sets=150, **options)
    ours = excess_risk(covariance, b, noise + 0.3, 400, UNIFORM, **options)
    assert (
        abs(ours / drawn.excess_risk - 1)
        < 0.03 + 3 * drawn.standard_error / drawn.excess_risk
    )
    at_the_end = excess_risk(
        covariance, b, noise + 0.3, 400, UNIFORM, masks_per_row=masks
    )
    assert abs(at_the_end / ours - 1) > 0.04  # stopping matters


def test_long_training_is_the_ridgeless_fit():
    case = (np.eye(40), np.eye(40)[0], 0.2)
    long = excess_risk(*case, 100, UNIFORM, train_time=1e3)
    assert long == pytest.approx(excess_risk(*case, 100, UNIFORM), rel=1e-6)
