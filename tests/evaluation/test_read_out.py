"""Which layers and poolings may be asked for."""

import pytest

from r2mae.errors import InputError
from r2mae.evaluation.read_out import ReadOut


@pytest.mark.parametrize("layer", [True, 1.0, "first", None])
def test_a_layer_is_a_whole_number_or_last(layer):
    with pytest.raises(InputError, match="layer must be last, or a number such as 1"):
        ReadOut(layer)


def test_a_pooling_is_one_of_three():
    with pytest.raises(InputError, match="one of mean, cls, concat, got 'max'"):
        ReadOut(pool="max")


@pytest.mark.parametrize(
    ("read_out", "document"),
    [
        (ReadOut(), {}),
        (ReadOut(-1), {"layer": -1}),
        (ReadOut(pool="concat"), {"pool": "concat"}),
    ],
)
def test_only_what_differs_from_the_default_is_told(read_out, document):
    assert read_out.to_dict() == document
