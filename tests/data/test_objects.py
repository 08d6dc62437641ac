"""Samples in memory."""

import numpy as np
import pandas as pd
import pytest

from r2mae.data.objects import list_objects
from r2mae.errors import InputError


@pytest.mark.parametrize(
    "objects",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), pd.Series(["a", "b"]), iter("ab")],
)
def test_what_has_items_in_order_is_a_list(objects):
    assert list_objects(objects, "texts") == ["a", "b"]


@pytest.mark.parametrize(
    ("objects", "got"),
    [
        ("a text", "got str."),
        (b"bytes", "got bytes."),
        (3, "got int."),
        ({"a": 1}, "got dict."),
        ({"a"}, "got set."),
        (pd.DataFrame({"a": ["x"]}), "got DataFrame. Give one column of it."),
        ([], "got an empty one."),
        (iter([]), "got an empty one."),
        (np.array(3), "got an empty one."),
    ],
)
def test_others_are_refused(objects, got):
    with pytest.raises(InputError) as error:
        list_objects(objects, "texts")
    assert str(error.value) == f"objects must be a list of texts, {got}"
