"""Values of a study file that are refused before anything else is read."""

import pytest

from r2mae.schema.study import MeasureSection


def test_hiding_in_training_needs_a_hidden_share():
    with pytest.raises(ValueError, match="hide_in_training must come with a share"):
        MeasureSection.model_validate({"hide_in_training": True})
