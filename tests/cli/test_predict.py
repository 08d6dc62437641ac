"""Columns of predictions from outputs of models, and the tables that hold them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from r2mae.cli.predict import _classes, _label_sets, _numbers, write_table

LOADED = SimpleNamespace(
    manifest={"class_names": ["a", "b"], "target": {"mean": 5.0, "spread": 2.0}}
)
LOGITS = np.array([[0.0, np.log(3)], [4.0, -4.0]], dtype=np.float32)


def test_classes_have_probabilities_that_sum_to_one():
    columns = _classes(LOADED, LOGITS)
    assert columns["predicted_class"].tolist() == ["b", "a"]
    np.testing.assert_allclose(columns["p(b)"][0], 0.75, rtol=1e-6)
    np.testing.assert_allclose(columns["p(a)"] + columns["p(b)"], 1)


def test_sets_of_labels_hold_those_above_one_half():
    logits = np.array([[1.0, 2.0], [-1.0, 2.0], [-1.0, -2.0]], dtype=np.float32)
    columns = _label_sets(LOADED, logits)
    first, second, empty = columns["predicted_labels"]
    assert (first, second) == ("a;b", "b")
    assert empty not in ("a", "b", "a;b")
    np.testing.assert_allclose(columns["p(a)"], 1 / (1 + np.exp(-logits[:, 0])))


def test_numbers_are_in_the_units_of_the_labels():
    outputs = np.array([[0.0], [1.5], [-1.0]], dtype=np.float32)
    assert _numbers(LOADED, outputs)["predicted"].tolist() == [5.0, 8.0, 3.0]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_keep_rows_and_names(tmp_path, suffix):
    path = tmp_path / f"predictions{suffix}"
    write_table(path, {"sample": ["x", "y"]} | _classes(LOADED, LOGITS))
    read = {
        ".csv": pd.read_csv,
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
        ".parquet": pd.read_parquet,
    }[suffix](path)
    assert read.columns.tolist() == ["sample", "predicted_class", "p(a)", "p(b)"]
    assert read["predicted_class"].tolist() == ["b", "a"]
    np.testing.assert_allclose(read["p(b)"][0], 0.75, rtol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
