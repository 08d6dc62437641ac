import errno
import io
from pathlib import Path

import pytest

from r2mae.errors import InputError
from r2mae.training.guarded_logger import GuardedLogger
from r2mae.training.progress import CsvLogger
from r2mae.training.run_folder import RunFolder
from tests.training.runs import metric, prepare, train


def test_csv_continues_where_training_does(tmp_path):
    logger = CsvLogger(RunFolder(tmp_path))
    for step in (1, 2, 3):
        logger.log_metrics({"a": step / 3, "b": 1.0}, step)
    with logger.folder.metrics.open("a") as file:
        file.write("4,a,0.")  # cut off in the middle of a write
    logger.rewind(2)
    logger.log_metrics({"a": 7.0}, 3)
    assert logger.folder.metrics.read_text().splitlines() == [
        "step,metric,value", "1,a,0.33333333", "1,b,1", "2,a,0.66666667", "2,b,1", "3,a,7",
    ]  # fmt: skip


def test_rows_survive_a_full_disk(tmp_path, monkeypatch):
    logger = CsvLogger(RunFolder(tmp_path))
    for step in (1, 2, 3):
        logger.log_metrics({"a": step / 3}, step)
    before = logger.folder.metrics.read_bytes()

    def no_space(path, text):
        with path.open("w"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(OSError, match="No space"):
        logger.rewind(2)
    assert logger.folder.metrics.read_bytes() == before


class Sink:
    """What a logger is told, and the metrics in run.json when it is closed."""

    def __init__(self, folder):
        self.folder = folder
        self.begun = None
        self.metrics = None

    def begin(self, start_step, config):
        self.begun = start_step

    def log_metrics(self, metrics, step): ...

    def commit(self): ...

    def close(self):
        self.metrics = self.folder.read_status().get("metrics")


def test_loggers_are_begun_and_closed_where_no_step_is_left(scratch):
    """A run that is killed while they close is completed by the same command."""
    for start_step in (0, 4):
        training, folder = prepare("run", "schedule.steps=4")
        sink = Sink(folder)
        training.trainer.loggers.append(GuardedLogger("sink", sink))
        metrics = training.run()
        assert sink.begun == start_step
        assert sink.metrics == metrics
        assert metrics["validation/loss"] > 0


def test_numbers_a_person_reads(scratch, capfd):
    folder = train("run", "schedule.steps=5")
    lines = capfd.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("step 5/5: validation loss ")
    line = lines[-2]
    for word in (
        "step 5/5 (100%)",
        "loss",
        "ratio",
        "samples/s",
        "visible tokens/s",
        "left",
    ):
        assert word in line
    assert "\r" not in line
    rates = metric(folder, "train/lr")
    assert rates[2] == pytest.approx(2e-3 * 16 / 256)
    assert rates[5] < rates[3]
    ratios = set(metric(folder, "train/mask_ratio").values())
    assert len(ratios) > 1
    assert all(0.3 <= ratio <= 0.8 for ratio in ratios)


def test_a_terminal_shows_one_bar_that_ends_with_its_line(scratch, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    train("run", "schedule.steps=5")
    # Libraries may warn on the same terminal: only the bar's own texts count.
    bars = [text for text in terminal.getvalue().split("\r") if "step " in text]
    assert len(bars) > 1
    assert "step 5/5 (100%), loss " in bars[-1]
    assert terminal.getvalue().count("left\n") == 1


def test_divergence_is_one_line(scratch):
    with pytest.raises(
        InputError,
        match="step [0-9]+ must have a finite loss and gradient, got loss .* and gradient norm (nan|inf)",
    ):
        train("run", "optimizer.lr_per_256_samples=9.0", "schedule.steps=200", "schedule.decay=constant", "seed=1",
              "model.depth=6", "optimizer.weight_decay=10.0", "optimizer.betas=[0.0, 0.0]", "watch.every_steps=500",
              "watch.effective_rank=false", "watch.knn=false", "batch.global_samples=256")  # fmt: skip
