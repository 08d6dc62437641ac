"""Columns of obs: classes agree between files, whatever type each file gives them."""

import numpy as np
import pandas as pd
import pytest

from r2mae.errors import InputError
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.notes import reading_notes
from tests.conftest import make_cells


def store_of(folder, *columns, index=None):
    """A store of files of 4 cells each, with obs columns named label."""
    paths = []
    for number, column in enumerate(columns):
        cells = make_cells(4, 5)
        cells.obs["label"] = pd.Series(column).set_axis(cells.obs_names)
        if index is not None:
            cells.obs_names = index
        paths.append(folder / f"{number}.h5ad")
        cells.write_h5ad(paths[-1])
    return build_store(folder / "store", paths)


def labels(store, column="label"):
    """Names of classes, None for cells without one."""
    codes, names = store.column(column)
    return [names[code] if code >= 0 else None for code in codes]


COLUMNS = {
    "floats with NaN": ([0.0, 1.0, np.nan, 12.0], ["0", "1", None, "12"]),
    "nullable integers": (
        pd.array([0, 1, None, 12], dtype="Int64"),
        ["0", "1", None, "12"],
    ),
    "large integers": ([0, 1234567, 1234568, 1], ["0", "1234567", "1234568", "1"]),
    "categories of floats": (
        pd.Categorical([0.0, 1.0, np.nan, 1.0]),
        ["0", "1", None, "1"],
    ),
    "categories with NaN": (pd.Categorical(["b", None, "a", "b"]), ["b", None, "a", "b"]),
    "nullable strings": (
        pd.array(["b", None, "a", "b"], dtype="string"),
        ["b", None, "a", "b"],
    ),
    "booleans": ([True, False, True, True], ["True", "False", "True", "True"]),
    "unicode and slashes": (["T/γδ", "b", "Ä", "b"], ["T/γδ", "b", "Ä", "b"]),
    "no value at all": ([np.nan] * 4, [None] * 4),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*allow_write_nullable_strings")
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_classes_where_they_name_labels(name, tmp_path):
    column, expected = COLUMNS[name]
    if name == "nullable strings":
        import anndata

        with anndata.settings.override(allow_write_nullable_strings=True):
            store = store_of(tmp_path, column)
    else:
        store = store_of(tmp_path, column)
    assert labels(store) == expected


def test_text_in_one_file_and_numbers_in_another_are_the_same_classes(tmp_path):
    store = store_of(
        tmp_path, ["1", "2", "x", "1"], [1, 2, 3, 1], [1.0, np.nan, 2.0, 1.0]
    )
    expected = ["1", "2", "x", "1", "1", "2", "3", "1", "1", None, "2", "1"]
    assert labels(store) == expected
    (note,) = reading_notes(store.meta)
    assert note == "obs label is text in some files and numbers in others: read as text"


def test_a_column_that_a_file_lacks_is_not_mixed(tmp_path):
    store = store_of(tmp_path, ["1", "2", "x", "1"], [np.nan] * 4)
    assert not reading_notes(store.meta)
    assert labels(store)[4:] == [None] * 4


def test_fractions_are_no_classes(tmp_path):
    store = store_of(tmp_path, [0.5, np.nan, 1.0, 2.0])
    with pytest.raises(
        InputError, match=r"classes, got fractions such as 0\.5\. Choose"
    ):
        store.column("label")


NAMES = {
    "integers": (["0", "1", "2", "3"], ["0", "1", "2", "3"]),
    "doubled": (["a", "a", "b", "b"], ["a", "a", "b", "b"]),
    "unicode and slashes": (["γ/1", "ä", "b c", "d,e"], ["γ/1", "ä", "b c", "d,e"]),
}


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("name", NAMES)
def test_cells_keep_their_names(name, tmp_path):
    index, expected = NAMES[name]
    store = store_of(tmp_path, ["x"] * 4, index=index)
    assert [bytes(name).decode() for name in store.names] == expected
