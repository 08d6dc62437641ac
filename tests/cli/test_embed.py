"""What `r2mae embed` prints and writes beside features, without a run."""

from argparse import Namespace

import numpy as np
import pytest
from pyarrow import parquet

from r2mae.cli.embed import _check, _show, _write_array, _write_parquet
from r2mae.data.arrays import ArraySource
from r2mae.errors import InputError


@pytest.fixture
def source():
    labels = np.array([0, 1, 0])
    return ArraySource({"values": np.zeros((3, 2), np.float32)}, labels, ["a", "b"])


FEATURES = np.arange(4, dtype=np.float32).reshape(2, 2)


def test_rows_that_were_read_have_names_and_classes(source, tmp_path):
    _write_array(tmp_path / "x.npy", FEATURES, source, [0, 1])
    assert np.array_equal(np.load(tmp_path / "x.npy"), FEATURES)
    lines = (tmp_path / "x.names.csv").read_text().splitlines()
    assert lines[0] == "name,class"
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["a", "b"]
    _write_parquet(tmp_path / "x.parquet", FEATURES, source, [0, 1])
    table = parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert table["class"] == ["a", "b"]
    assert table["features"] == FEATURES.tolist()


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"output": "a.npy", "names": "a.names.csv"}, "row names in a.names.csv"),
        ({"output": "a.parquet"}, "with name and class"),
    ],
)
def test_the_report_says_where_names_are(result, text, capsys):
    _show(result | {"samples": 2, "features": 4}, "38 of 40 genes")
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{result['output']}: 2 x 4 float32, {text}"
    assert second == "  38 of 40 genes"


def test_names_do_not_replace_the_data(scratch):
    arguments = Namespace(data="x.names.csv", run="no_run", tokens=False, pool=None)
    with pytest.raises(InputError, match=r"not write over DATA, got .*x\.names\.csv"):
        _check(scratch / "x.npy", arguments)
