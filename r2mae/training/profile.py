"""`r2mae pretrain --profile STEPS`: where a few steps spend their time."""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from r2mae.data.atomic import write_atomic
from r2mae.training.callback import Callback
from r2mae.training.module import Engine
from r2mae.training.step import StepReport
from r2mae.training.throughput import DataWait

_SKIPPED = 4  # steps that warm up caches, before one that warms up the profiler
_ROWS = 25  # of the table


class Profile(Callback):
    """Profiles num_steps early steps of rank 0 with torch.profiler.

    Writes two files into the run folder: profile.txt, a table of the slowest operations,
    and profile_trace.json.gz for ui.perfetto.dev and chrome://tracing.
    """

    def __init__(self, folder: Path, num_steps: int) -> None:
        self.folder = folder
        self.num_steps = num_steps
        self._profiler: Any = None
        self._last_warmup = 0  # the step before the profiled ones
        self._start, self._waited = 0.0, 0.0

    def on_train_start(self, engine: Engine) -> None:
        """Start the profiler; it records nothing in the warm-up steps."""
        left = engine.num_steps - engine.start_step
        if not engine.trainer.is_global_zero or left < 2:
            return
        active = min(self.num_steps, left - 1)
        skipped = min(_SKIPPED, left - 1 - active)
        self._last_warmup = engine.start_step + skipped + 1
        self.num_steps = active
        activities = [ProfilerActivity.CPU]
        if engine.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._profiler = profile(
            activities=activities,
            schedule=schedule(
                skip_first=skipped, wait=0, warmup=1, active=active, repeat=1
            ),
        )
        self._profiler.start()

    def on_step_end(self, engine: Engine, report: StepReport) -> None:
        """Advance the profiler; write the files after the last profiled step."""
        if self._profiler is None:
            return
        last_step = self._last_warmup + self.num_steps
        if report.step in (self._last_warmup, last_step):
            _finish_device(engine.device)
        if report.step == self._last_warmup:
            self._start, self._waited = time.monotonic(), _data_wait(engine)
        if report.step == last_step:
            seconds = time.monotonic() - self._start
            waited = _data_wait(engine) - self._waited
            self._profiler.stop()
            self._write(engine, seconds, waited)
            self._profiler = None
            return
        self._profiler.step()

    def _write(self, engine: Engine, seconds: float, waited: float) -> None:
        trace = self.folder / "profile_trace.json.gz"
        self._profiler.export_chrome_trace(str(trace))
        is_cuda = engine.device.type == "cuda"
        table = self._profiler.key_averages().table(
            sort_by="self_cuda_time_total" if is_cuda else "self_cpu_time_total",
            row_limit=_ROWS,
            max_name_column_width=40,
        )
        first, last = self._last_warmup + 1, self._last_warmup + self.num_steps
        page = (
            f"steps {first} to {last} on {engine.device}, rank 0 of "
            f"{engine.trainer.world_size}\n"
            f"{seconds / self.num_steps:.4f} s a step while profiled, "
            f"{waited / seconds:.0%} of it waiting for data\n"
            f"trace: {trace.name} (open in ui.perfetto.dev)\n\n{table}\n"
        )
        file = self.folder / "profile.txt"
        write_atomic(file, page)
        print(f"{file}: profile of steps {first} to {last}", file=sys.stderr)


def _finish_device(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _data_wait(engine: Engine) -> float:
    profiler = engine.trainer.profiler  # type: ignore[attr-defined]
    return profiler.seconds if isinstance(profiler, DataWait) else 0.0
