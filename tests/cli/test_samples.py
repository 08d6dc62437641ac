"""What commands read and write: checked outputs, samples without the unreadable ones, means of owners."""

from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from r2mae.cli.samples import (
    check_apart,
    check_output,
    compute_outputs,
    names_of,
    open_samples,
    report_left_out,
)
from r2mae.data.source import Chosen
from r2mae.errors import InputError
from tests.interop.encoders import load_encoder

SUFFIXES = (".npy", ".parquet")


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return load_encoder("ViT", tmp_path_factory.mktemp("vit"))


@pytest.mark.parametrize("name", ["x.csv", "absent/x.npy", "folder.npy"])
def test_an_output_has_a_known_ending_and_a_folder(scratch, name):
    (scratch / "folder.npy").mkdir()
    with pytest.raises(InputError, match=r"--output must be a \.npy or \.parquet file"):
        check_output(scratch / name, SUFFIXES, Namespace(data="test"))
    check_output(scratch / "x.npy", SUFFIXES, Namespace(data="test"))


@pytest.mark.parametrize("data", ["x.npy", "*.npy", "link.npy"])
def test_an_output_is_not_the_data(scratch, data):
    (scratch / "x.npy").touch()
    (scratch / "link.npy").symlink_to(scratch / "x.npy")
    with pytest.raises(InputError, match="must not write over DATA"):
        check_output(scratch / "x.npy", SUFFIXES, Namespace(data=data))


def test_an_output_is_no_split_beside_the_data(scratch):
    recipe = SimpleNamespace(data=SimpleNamespace(root=str(scratch)))
    loaded, split = SimpleNamespace(recipe=recipe), Namespace(data="test")
    with pytest.raises(InputError, match="must not be a split of the data"):
        check_apart(scratch / "test_features.parquet", loaded, split)
    check_apart(scratch / "features.parquet", loaded, split)
    check_apart(scratch.parent / "test.parquet", loaded, split)


def test_options_of_files_are_refused_with_a_split():
    def add_path_arguments(parser):
        parser.add_argument("--min-overlap", default=0.5)

    wing = SimpleNamespace(
        add_path_arguments=add_path_arguments,
        open_split=lambda recipe, name: SimpleNamespace(split=name, fingerprint="f"),
        draws_test_split=lambda recipe: True,
        open_paths=lambda recipe, paths, arguments: ("files", paths),
    )
    recipe = SimpleNamespace(data=SimpleNamespace())
    manifest = {"data": {"fingerprint": "f", "samples": 9}}
    loaded = SimpleNamespace(wing=wing, recipe=recipe, manifest=manifest)
    arguments = Namespace(data="test", min_overlap=0.7)
    with pytest.raises(InputError, match="--min-overlap must be given for files"):
        open_samples(loaded, arguments)
    arguments.min_overlap = 0.5
    assert open_samples(loaded, arguments).split == "test"
    arguments = Namespace(data="my.h5ad", min_overlap=0.7)
    assert open_samples(loaded, arguments) == ("files", ["my.h5ad"])


def test_outputs_have_a_row_for_each_sample_and_its_index(vit):
    source = vit.wing.open_split(vit.recipe, "test")
    every, indices, unreadable = compute_outputs(vit, source, "embed", "test")
    assert indices == list(range(len(source)))
    assert unreadable == []
    rows = np.array([5, 2, 9])
    some, indices, _ = compute_outputs(vit, Chosen(source, rows), "embed", "test")
    assert indices == rows.tolist()
    np.testing.assert_allclose(some, every[rows], atol=1e-5)
    names = list(names_of(Chosen(source, rows), indices))
    assert names == [
        (source.name(row), source.class_names[int(source.labels[row])])
        for row in rows.tolist()
    ]


class Unreadable:
    """A source whose sample 3 cannot be read: its neighbour comes instead."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __len__(self):
        return len(self.source)

    def load(self, indices, positions, seed):
        read = torch.where(indices == 3, 4, indices)
        return self.source.load(read, positions, seed)


def test_an_unreadable_sample_has_no_row(vit, capsys):
    source = Unreadable(vit.wing.open_split(vit.recipe, "test"))
    outputs, indices, unreadable = compute_outputs(vit, source, "embed", "test")
    assert len(outputs) == len(indices) == len(source) - 1
    assert 3 not in indices
    assert unreadable == [source.name(3)]
    report_left_out(SimpleNamespace(note="2 rows without a label"), unreadable)
    assert capsys.readouterr().err.splitlines() == [
        "left out: 2 rows without a label",
        f"left out: 1 unreadable sample, {source.name(3)}",
    ]


def test_samples_of_one_owner_are_averaged(vit):
    source = Unreadable(vit.wing.open_split(vit.recipe, "test"))
    every, _, _ = compute_outputs(vit, source.source, "embed", "test")
    source.owners = np.arange(len(source)) // 2  # windows of texts, two each
    outputs, indices, _ = compute_outputs(vit, source, "embed", "test")
    assert indices == list(range(0, len(source), 2))
    np.testing.assert_allclose(outputs[0], every[:2].mean(axis=0), atol=1e-5)
    # Of the second owner's, one could be read.
    np.testing.assert_allclose(outputs[1], every[2], atol=1e-5)
