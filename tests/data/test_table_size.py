"""The copy of a table in the cache: its size is said and compared with the disk before it is made."""

import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2mae.data import table_size
from r2mae.data.table_size import announced, table_bytes
from r2mae.errors import InputError
from r2mae.modalities.vision.image_tables import load_parquet
from r2mae.progress import listener


def parquet(folder, name="x.parquet", num_bytes=1_000_000):
    path = folder / name
    rows = [b"a" * (num_bytes // 10)] * 10
    pq.write_table(pa.table({"image": rows}), path, use_dictionary=False)
    return path


def disk_with(num_bytes):
    return lambda _: shutil._ntuple_diskusage(10**15, 0, num_bytes)


def test_the_size_is_that_without_compression(tmp_path):
    files = [parquet(tmp_path), parquet(tmp_path, "y.parquet", 2_000_000)]
    assert sum(file.stat().st_size for file in files) < 300_000
    assert table_bytes(files) == pytest.approx(3_000_000, rel=0.3)
    other, damaged = tmp_path / "z.csv", tmp_path / "w.parquet"
    other.write_text("a\n1\n")
    damaged.write_bytes(b"PAR1")
    assert table_bytes([other, damaged]) == 8


def test_a_large_table_is_announced_before_it_is_made_and_once(
    scratch, monkeypatch, capsys
):
    files = [parquet(scratch), parquet(scratch, "y.parquet")]
    assert len(load_parquet(files[:1])) == 10
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(table_size, "LARGE", 1_000_000)
    for expected in (1, 0):
        assert len(load_parquet(files)) == 20
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == expected
        for line in lines:
            assert line.startswith(f"{files[0]} and 1 more files: made into a table of")
            assert f"MB in {scratch / 'cache/r2mae/tables'}, once;" in line


def test_a_table_that_does_not_fit_on_the_disk_is_refused(scratch, monkeypatch):
    file = parquet(scratch)
    monkeypatch.setattr(shutil, "disk_usage", disk_with(table_bytes([file]) - 1))
    with pytest.raises(InputError, match=r"r2mae/tables must have .* set XDG_CACHE_H"):
        load_parquet([file])
    assert not list((scratch / "cache/r2mae/tables").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", disk_with(table_bytes([file])))
    assert len(load_parquet([file])) == 10


def test_progress_is_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(table_size, "_SECONDS", 0.001)
    file, place, folder = (
        parquet(tmp_path, num_bytes=9_000_000),
        tmp_path,
        tmp_path / "t",
    )
    folder.mkdir()
    reports = []
    token = listener.set(lambda *report: reports.append(report))
    try:
        with announced([file], place / "table", folder):
            (folder / "rows.arrow").write_bytes(bytes(5_000_000))
            until = time.time() + 10
            while ("MB of the table of x.parquet", 5, 10) not in reports:
                assert time.time() < until, reports
                time.sleep(0.001)
    finally:
        listener.reset(token)
    assert reports[-1] == ("MB of the table of x.parquet", 10, 10)
