"""Batches are the same for any number of workers, and errors are one line."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from r2mae.data.arrays import ArraySource
from r2mae.data.reader import FEWEST_BATCHES, read_plain
from r2mae.data.source import Part
from r2mae.errors import InputError
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.schema import VisionData

CPU = torch.device("cpu")


class NamesReader(ArraySource):
    """Batches name the process that read them; rows from `faulty` on cannot be read."""

    faulty = 1000

    def load(self, indices, positions, seed):
        if indices.max() >= self.faulty:
            raise InputError(f"row {int(indices.max())} must be readable.")
        return super().load(indices, positions, seed) | {"process": os.getpid()}


def numbers(size):
    return NamesReader({"values": np.arange(size, dtype=np.float32)[:, None]})


@pytest.fixture
def images(tmp_path):
    """40 images, of which two neighbours are damaged."""
    for number in range(40):
        Image.new("L", (9, 7), 5 * number).save(tmp_path / f"{number:02}.png")
    for number in (13, 14):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    section = {"image_size": 8, "channels": 1, "on_bad_sample": "skip"}
    return open_image_paths(VisionData(card="image_folder", **section), [str(tmp_path)])


@pytest.mark.parametrize("held_out", [None, True, False])
def test_workers_read_the_same_batches(images, held_out):
    source = images if held_out is None else Part(images, 20, held_out)
    rows = torch.arange(len(source)).flip(0)
    alone, ahead = (
        list(read_plain(source, rows, 3, CPU, workers)) for workers in (0, 2)
    )
    assert len(alone) == len(ahead) == -(-len(source) // 3)
    for one, other in zip(alone, ahead, strict=True):
        assert torch.equal(one["images"], other["images"])
        assert torch.equal(one["indices"], other["indices"])
        assert one["skipped"] == other["skipped"]
    if held_out is None:
        skipped = [name for batch in ahead for name in batch["skipped"]]
        assert {name[-6:] for name in skipped} == {"13.png", "14.png"}


def test_few_batches_are_read_in_this_process():
    processes = []
    for count in (FEWEST_BATCHES - 1, FEWEST_BATCHES):
        read = read_plain(numbers(20), torch.arange(5 * count), 5, CPU, workers=2)
        processes.append({batch["process"] for batch in read})
    assert processes[0] == {os.getpid()}
    assert len(processes[1]) == 2
    assert os.getpid() not in processes[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_that_of_the_source(workers):
    source = numbers(20)
    source.faulty = 10
    read = read_plain(source, torch.arange(20), 2, CPU, workers)
    with pytest.raises(InputError, match=r"^row 11 must be readable\.$"):
        list(read)


@pytest.mark.parametrize("workers", [0, 2])
def test_random_state_stays(workers):
    before = torch.get_rng_state()
    batches = list(read_plain(numbers(20), torch.arange(20), 4, CPU, workers))
    assert len(batches) == 5
    assert torch.equal(torch.get_rng_state(), before)


def test_no_rows_give_no_batch():
    assert not list(read_plain(numbers(20), torch.arange(0), 4, CPU, workers=2))
