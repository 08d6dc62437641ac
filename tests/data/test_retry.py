import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2mae.data import retry
from r2mae.data.retry import retried
from r2mae.errors import InputError
from tests.training.runs import prepare


class Flaky:
    """Fails some times, then gives what it was asked for."""

    def __init__(self, failures, error=None):
        self.left, self.calls = failures, 0
        self.error = error or OSError(errno.ESTALE, "Stale file handle")

    def __call__(self):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return b"found"


@pytest.fixture
def slept(monkeypatch):
    pauses = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_found_after_some_tries(failures, slept):
    read = Flaky(failures)
    assert retried(read) == b"found"
    assert read.calls == failures + 1
    assert slept == [0.5, 1.0, 2.0][:failures]


def test_given_up_after_three_more(slept):
    read = Flaky(9)
    with pytest.raises(OSError, match="Stale file handle"):
        retried(read)
    assert read.calls == 4


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), PermissionError("no")])
def test_what_another_try_cannot_help(error, slept):
    read = Flaky(9, error)
    with pytest.raises(type(error)):
        retried(read)
    assert (read.calls, slept) == (1, [])


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 6 * number, np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_says_which_file_could_not_be_read(images, scratch, monkeypatch, workers):
    """Two failures cost nothing; a fourth one ends the run with the file and the sample's index."""
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0, 0.0))
    whole, asked = Path.read_bytes, {}
    allowed = 2

    def flaky(path):
        asked[path] = asked.get(path, 0) + 1
        if path.name == "07.png" and asked[path] <= allowed:
            raise OSError(errno.EIO, "Input/output error")
        return whole(path)

    data = f"data={{card: image_folder, root: {images}, image_size: 8, channels: 1, held_out: 0.2}}"
    settings = (
        data,
        f"hardware.workers={workers}",
        "watch.every_steps=20",
        "schedule.steps=4",
        "schedule.warmup_steps=1",
    )
    monkeypatch.setattr(Path, "read_bytes", flaky)
    training, _ = prepare("flaky", *settings)
    training.run()
    assert training.module.steps_done == 4
    allowed = 10**6
    training, _ = prepare("broken", *settings)
    with pytest.raises(
        InputError,
        match=r"07\.png \(sample 23\) must be readable, got .*Input/output error",
    ):
        training.run()
