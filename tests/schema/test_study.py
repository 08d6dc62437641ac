"""Values of a study file that are refused before anything else is read."""

import pytest

from r2mae.schema.study import MeasureSection


def test_hiding_in_training_needs_a_hidden_share():
    with pytest.raises(ValueError, match="hide_in_training must come with a share"):
        MeasureSection.model_validate({"hide_in_training": True})


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({"hidden": (0.5,), "probes": ()}, "hidden must come with probes"),
        ({"hidden": (0.5, 0.5)}, "hidden must list different shares, got 50%, 50%"),
    ],
)
def test_hidden_shares_that_mean_nothing_are_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        MeasureSection.model_validate(measure)
