"""Checkpoint callback: saves at intervals, at the end, and when a signal stops the run."""

import math
import signal
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning

from r2mae.errors import InterruptedRun
from r2mae.training.agreement import RankAgreement
from r2mae.training.checkpoint import read_manifest, remove
from r2mae.training.checkpoint_io import checkpoint_files
from r2mae.training.kept_signals import keep_signal, take_signal
from r2mae.training.module import Engine
from r2mae.training.recorder import FlightRecorder, read_rows
from r2mae.training.run_folder import RunFolder, saved_step
from r2mae.training.sharded import complete_on_host, is_sharded
from r2mae.training.writer import CheckpointWriter

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_KEPT = 2  # newest checkpoints that stay beside the best


class CheckpointCallback(lightning.Callback):
    """Saves checkpoints; comes after the validation callback, which sets `validation_loss` on the engine.

    Reads the recorder every `read_every` steps, and before every save.
    timeout: how long ranks wait for each other.
    """

    def __init__(
        self,
        folder: RunFolder,
        every_steps: int,
        recorder: FlightRecorder,
        read_every: int,
        timeout: timedelta,
    ) -> None:
        self.folder = folder
        self.every_steps = every_steps
        self.recorder = recorder
        self.read_every = read_every
        self.timeout = timeout
        self.writer = CheckpointWriter()
        self.best_loss: float | None = None
        self._last_saved = 0
        self._signal = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Handle signals from here on: save a checkpoint, then stop.

        Lightning restores the earlier handlers of all signals when training ends.
        """
        self._last_saved = pl_module.start_step
        for number in _SIGNALS:
            signal.signal(number, self._remember)
        self._signal = take_signal()
        self.agreement = RankAgreement(trainer.world_size, self.timeout)
        # Lightning would broadcast SIGTERM at every micro-batch, and wait for the device.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        best = self.folder.pointer("best")
        self.best_loss = read_manifest(best).get("validation_loss") if best else None

    def _remember(self, number: int, frame: Any) -> None:
        if self._signal == number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C stops at once
        self._signal = number

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save when due, and when held-out loss improved."""
        if pl_module.report is None:
            return
        step = pl_module.steps_done
        loss = pl_module.validation_loss if pl_module.validated_step == step else None
        improved = (
            loss is not None
            and math.isfinite(loss)
            and (self.best_loss is None or loss < self.best_loss)
        )
        due = step % self.every_steps == 0 or step == pl_module.num_steps
        self.recorder.push(pl_module.report)
        if improved or due or step % self.read_every == 0:
            self._read_reports(trainer, pl_module)
        if improved or due:
            self._save(trainer, pl_module, improved)
        self.writer.check()
        self.agreement.start(self._signal)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Engine, batch: Any, batch_idx: int
    ) -> None:
        """After a signal, save the step that is done instead of beginning another."""
        if pl_module.report is None:  # within a step
            return
        number = self.agreement.finish()
        if number:
            self._ignore_signals()
            self._read_reports(trainer, pl_module)
            self._save(trainer, pl_module, improved=False)
            self._close(trainer, status="interrupted", signal=number)
            raise InterruptedRun(number, pl_module.steps_done)

    def _read_reports(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Look for non-finite steps; save and stop if training has to."""
        stop = self.recorder.read(pl_module, writes=trainer.is_global_zero)
        if stop is not None:
            self._ignore_signals()
            self._save(trainer, pl_module, improved=False)
            self._close(trainer, status="failed", signal=None)
            raise stop

    def _ignore_signals(self) -> None:
        """Let nothing cut the last save short.

        SIGCHLD too: a data worker that is killed now would raise an error here.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _close(self, trainer: lightning.Trainer, **status: Any) -> None:
        """Wait on all ranks until the last checkpoint and its status are on disk.

        A launcher kills the other ranks soon after the first one has ended.
        """
        try:
            self.writer.wait()
            if trainer.is_global_zero:
                self.folder.write_status(**status)
        finally:
            trainer.strategy.barrier()

    def _save(
        self, trainer: lightning.Trainer, pl_module: Engine, improved: bool
    ) -> None:
        """Pass the state to the writer; `last` and `best` are updated once it is on disk."""
        if improved:
            self.best_loss = pl_module.validation_loss
        step = pl_module.steps_done
        if step == self._last_saved:
            return
        self._last_saved = step
        pl_module.skipped = self.agreement.unite(pl_module.skipped)
        # Every rank has a part of a sharded model, which rank 0 needs.
        if not trainer.is_global_zero and not is_sharded(pl_module.model):
            return
        start = time.monotonic()
        state: dict[str, Any] = {}
        pl_module.on_save_checkpoint(state)
        weights = complete_on_host(pl_module.state_dict())
        if not trainer.is_global_zero:
            return
        path = self.folder.checkpoints / f"step_{step}"
        publish = partial(self._publish, path, step, improved, start)
        files = checkpoint_files(state, weights)
        self.writer.save(path, files, state["description"], publish)

    def _publish(self, path: Path, step: int, improved: bool, start: float) -> None:
        self.folder.point("last", path)
        if improved:
            self.folder.point("best", path)
        self._prune()
        self.folder.write_status(
            step=step,
            checkpoint=path.name,
            save_seconds=round(time.monotonic() - start, 2),
        )

    def _prune(self) -> None:
        """Keep the two newest checkpoints, the best, and the one that `r2mae replay` of the last skipped step needs."""
        saved = self.folder.saved()
        needed = {
            *saved[-_KEPT:],
            self.folder.pointer("last"),
            self.folder.pointer("best"),
        }
        if rows := read_rows(self.folder):
            needed.update(
                [path for path in saved if saved_step(path) < rows[-1]["step"]][-1:]
            )
        for path in saved:
            if path not in needed:
                remove(path)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Wait until the last checkpoint is on disk, and for the other ranks."""
        self.agreement.finish()
        self.writer.wait()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Engine, exception: BaseException
    ) -> None:
        """Let the checkpoint that is being written finish."""
        self.writer.join()

    def teardown(
        self, trainer: lightning.Trainer, pl_module: Engine, stage: str
    ) -> None:
        """Keep a signal that came after the last step for the next run."""
        keep_signal(self._signal)
