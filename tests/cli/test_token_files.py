"""Files of `embed --tokens`: equal numbers of tokens, different ones, and no room."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from r2mae.cli.token_files import append_tokens, open_token_file
from r2mae.data.arrays import ArraySource
from r2mae.errors import InputError
from r2mae.evaluation.read_out import ReadOut

Usage = namedtuple("Usage", "free")


class Lengths(nn.Module):
    """Sample n has values[n, 0] tokens, which hold values[n, 1]."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def embed_tokens(self, batch):
        lengths, content = batch["values"].long().unbind(1)
        is_token = torch.arange(int(lengths.max())) < lengths[:, None]
        tokens = content[:, None, None] * self.scale.expand(*is_token.shape, 3)
        return tokens, is_token


def write(path, lengths, owners=None):
    values = np.stack([lengths, np.arange(len(lengths))], axis=1).astype(np.float32)
    source = ArraySource({"values": values})
    if owners is not None:
        source.owners = np.array(owners)
    loaded = SimpleNamespace(model=Lengths(), read_out=ReadOut())
    with open_token_file(path, path) as file:
        rows, _ = append_tokens(loaded, source, file)
    return rows


def test_equal_numbers_of_tokens_are_an_array(tmp_path):
    assert write(tmp_path / "x.npy", [2] * 300) == list(range(300))
    tokens = np.load(tmp_path / "x.npy")
    assert tokens.shape == (300, 2, 3)
    assert np.array_equal(tokens[:, 1, 2], np.arange(300))


def test_different_numbers_of_tokens_have_offsets(tmp_path):
    write(tmp_path / "x.npz", [2, 5, 1])
    archive = np.load(tmp_path / "x.npz")
    assert archive["offsets"].tolist() == [0, 2, 7, 8]
    assert archive["tokens"][:, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 2]
    assert archive["tokens"].shape == (8, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_windows_of_a_sample_follow_one_another(tmp_path):
    rows = write(tmp_path / "x.npz", [2, 3, 1, 4], owners=[0, 0, 1, 2])
    assert rows == [0, 2, 3]
    assert np.load(tmp_path / "x.npz")["offsets"].tolist() == [0, 5, 6, 10]


def test_an_array_of_different_numbers_is_refused(tmp_path):
    rule = r"must be a \.npz file for samples with different .* got 2 and 3 tokens"
    with pytest.raises(InputError, match=rule):
        write(tmp_path / "x.npy", [2, 2, 3])
    with pytest.raises(InputError, match="got 2 and 4 tokens"):
        write(tmp_path / "x.npy", [2, 2, 2], owners=[0, 1, 1])


def test_large_files_are_announced_and_must_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("r2mae.cli.token_files._LARGE", 10)
    write(tmp_path / "x.npy", [2, 2])
    assert "tokens need about 48.0B" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free=60))
    write(tmp_path / "x.npy", [2, 2])
    with pytest.raises(InputError, match=r"96\.0B of free disk .* 60\.0B. Embed fewer"):
        write(tmp_path / "x.npz", [2, 2])
