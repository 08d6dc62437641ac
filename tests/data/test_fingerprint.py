import os
import re

import numpy as np
import pytest

from r2mae.data import fingerprint as module
from r2mae.data.fingerprint import fingerprint_array, fingerprint_files


def written(root, contents):
    paths = []
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


PLAIN = {"a.bin": b"one", "sub/b.bin": b"two"}


def test_the_same_files_anywhere_in_any_order(tmp_path):
    here, there = written(tmp_path / "x", PLAIN), written(tmp_path / "y/z", PLAIN)
    word = fingerprint_files(tmp_path / "x", here)
    assert re.fullmatch("[0-9a-f]{16}", word)
    assert word == fingerprint_files(tmp_path / "y/z", there[::-1])
    os.utime(here[0], (0, 0))
    assert word == fingerprint_files(tmp_path / "x", iter(here))


@pytest.mark.parametrize(
    "other",
    [
        {"a.bin": b"onE", "sub/b.bin": b"two"},
        {"a.bin": b"one", "sub/c.bin": b"two"},
        {"a.bin": b"one", "b.bin": b"two"},
        {"a.bin": b"one"},
        {"a.bin": b"two", "sub/b.bin": b"one"},
        {"a.bin": b"one", "sub/b.bin": b"two", "c": b""},
        {"a.bin": b"onet", "sub/b.bin": b"wo"},
    ],
)
def test_any_change_shows(tmp_path, other):
    word = fingerprint_files(tmp_path / "x", written(tmp_path / "x", PLAIN))
    assert fingerprint_files(tmp_path / "y", written(tmp_path / "y", other)) != word


def test_without_contents_names_and_sizes_count(tmp_path):
    words = [
        fingerprint_files(
            tmp_path / folder, written(tmp_path / folder, contents), contents=False
        )
        for folder, contents in {
            "plain": PLAIN,
            "other bytes": {"a.bin": b"onE", "sub/b.bin": b"two"},
            "other size": {"a.bin": b"on", "sub/b.bin": b"two"},
            "other name": {"A.bin": b"one", "sub/b.bin": b"two"},
        }.items()
    ]
    assert words[0] == words[1]
    assert len(set(words)) == 3


def test_large_files_are_known_by_size_and_both_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WHOLE", 100)
    monkeypatch.setattr(module, "_EDGE", 10)
    plain = bytes(range(200))

    def word(data):
        return fingerprint_files(tmp_path, written(tmp_path, {"large": data}))

    first = word(plain)
    assert word(plain[:100] + b"x" + plain[101:]) == first  # the middle is not read
    assert word(plain[:9] + b"x" + plain[10:]) != first
    assert word(plain[:190] + b"x" + plain[191:]) != first
    assert word(plain[:100] + b"x" + plain[100:]) != first
    assert word(plain[:50] + b"x" + plain[51:100]) != word(
        plain[:100]
    )  # small files are read whole


def test_arrays_are_known_by_type_shape_and_values():
    plain = np.arange(12, dtype=np.uint8)
    variants = [
        plain,
        plain.reshape(3, 4),
        plain.reshape(4, 3),
        plain.view(np.int8),
        plain.astype(np.int16),
        plain[::-1],
        plain[:11],
        np.where(plain == 5, 6, plain).astype(np.uint8),
    ]
    words = [fingerprint_array(variant) for variant in variants]
    assert len(set(words)) == len(variants)
    assert fingerprint_array(np.arange(12, dtype=np.uint8)) == words[0]
    wide = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert fingerprint_array(wide[:, ::2]) == fingerprint_array(
        wide[:, ::2].copy()
    )  # layout in memory is not data
    assert all(re.fullmatch("[0-9a-f]{16}", word) for word in words)
