"""Records steps with a non-finite loss or gradient, in nonfinite.jsonl.

The device is read at intervals, so that no step waits for it.
"""

import json
import math
from typing import Any

import torch
from torch import nn

from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.training.module import Engine
from r2mae.training.run_folder import RunFolder
from r2mae.training.sharded import complete
from r2mae.training.step import StepReport


class FlightRecorder:
    """Collects the reports of steps; `read` writes a row for every skipped step.

    A row of nonfinite.jsonl: {"step", "positions": [first, last + 1], "mask_ratio",
    "loss", "grad_norm", "weight_norm", "lr"}. Steps count from 1, as in metrics.csv.
    weight_norm is that of the time of writing.
    """

    def __init__(self, folder: RunFolder, max_skipped_steps: int) -> None:
        self.folder = folder
        self.max_skipped_steps = max_skipped_steps
        self._unread: list[StepReport] = []

    def push(self, report: StepReport) -> None:
        """Keep a report for `read`."""
        self._unread.append(report)

    def read(self, engine: Engine, *, writes: bool) -> InputError | None:
        """Wait for the device, write skipped steps, and return the error that ends training.

        None if training goes on. With `stop_when_nonfinite`, the engine's step count is
        set back to the last finite step, whose weights it has. All ranks return the same.

        writes: whether this rank writes files.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return None
        skipped = torch.stack([report.skipped for report in unread]).tolist()
        bad = [
            report
            for report, was_skipped in zip(unread, skipped, strict=True)
            if was_skipped
        ]
        if not bad:
            return None
        if engine.settings.stop_when_nonfinite:
            bad = bad[:1]
            engine.steps_done = bad[0].step - 1
        else:
            engine.skipped_steps += len(bad)
        rows = [self._row(engine, report) for report in bad]
        if writes:
            self._write(rows)
        return self._error(engine, bad[0])

    def _error(self, engine: Engine, report: StepReport) -> InputError | None:
        """The error for the first skipped step; None if training may skip it."""
        loss, norm = float(report.loss), float(report.grad_norm)
        what = (
            f"step {report.step} must have a finite loss and gradient, "
            f"got loss {loss:g} and gradient norm {norm:g}"
        )
        remedy = (
            f"The update was skipped. See r2mae replay {self.folder.path}; "
            "lower optimizer.lr or set optimizer.clip_norm"
        )
        if engine.settings.stop_when_nonfinite:
            return InputError(
                f"{what}. {remedy}, or skip such steps: --set training.on_nonfinite=skip."
            )
        if engine.skipped_steps > self.max_skipped_steps:
            limit = (
                "training.max_skipped_steps must be at least the "
                f"{engine.skipped_steps} steps skipped so far"
            )
            return InputError(
                f"{limit}, got {self.max_skipped_steps}: {what}. {remedy}."
            )
        return None

    def _row(self, engine: Engine, report: StepReport) -> dict[str, Any]:
        weights = [parameter.detach() for parameter in engine.model.parameters()]
        return {
            "step": report.step,
            "positions": [
                (report.step - 1) * engine.settings.global_samples,
                report.step * engine.settings.global_samples,
            ],
            "mask_ratio": report.mask_ratio,
            "loss": json_number(float(report.loss)),
            "grad_norm": json_number(float(report.grad_norm)),
            "weight_norm": json_number(
                float(complete(nn.utils.get_total_norm(weights)))
            ),
            "lr": report.lr,
        }

    def _write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows. Earlier rows of the same or later steps are deleted.

        A continued run repeats those steps.
        """
        kept = [row for row in read_rows(self.folder) if row["step"] < rows[0]["step"]]
        write_atomic(
            self.folder.nonfinite,
            "".join(json.dumps(row) + "\n" for row in [*kept, *rows]),
        )


def read_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of a run's nonfinite.jsonl, by step; none where every step was finite.

    Raises: InputError when the file is damaged.
    """
    if not folder.nonfinite.is_file():
        return []
    try:
        rows = [
            dict(json.loads(line)) for line in folder.nonfinite.read_text().splitlines()
        ]
        return sorted(rows, key=lambda row: int(row["step"]))
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f"{folder.nonfinite} must hold one JSON mapping per line, "
            "got something else. Delete it."
        ) from None


def json_number(value: float) -> float | str:
    """A number for JSON, which has no nan and inf: those become strings."""
    return value if math.isfinite(value) else str(value)
