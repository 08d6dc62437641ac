"""Event files of TensorBoard in `tensorboard/` of the run folder, one for each start.

A continued run repeats the steps after its checkpoint. `purge_step` lets readers forget
the earlier scalars of those steps, so each step counts once. They do not forget tables,
so a table that is there already is not written again: it would be the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from r2mae.training.metric_log import (
    LOSS_TABLE,
    PICTURE,
    loss_by_ratio,
    picture_of,
    read_metrics,
)
from r2mae.training.run_folder import RunFolder


class TensorBoardRun:
    """Writes each metric as a scalar, held-out losses over mask ratios as a table, and pictures as images.

    Implements `MetricsSink`.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._writer: Any = None
        self._new_step: int | None = None  # that was not written to disk yet
        self._last_table = -1  # the step of the last table in earlier files

    def begin(self, start_step: int, config: dict[str, Any]) -> None:
        """Open an event file; the first one gets the rows that metrics.csv has."""
        place = self.folder.path / "tensorboard"
        is_first = not any(place.glob("events.out.tfevents.*"))
        self._last_table = -1 if is_first else _last_table(place)
        self._writer = SummaryWriter(str(place), purge_step=start_step + 1)
        if is_first:
            for step, row in sorted(read_metrics(self.folder).items()):
                if step <= start_step:
                    self.log_metrics(row, step)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Add metrics of a step."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        losses = loss_by_ratio(metrics)
        if losses and step > self._last_table:
            rows = [f"| {ratio:g} | {loss:.6g} |" for ratio, loss in losses]
            head = ["| mask ratio | held-out loss |", "| --- | --- |"]
            self._writer.add_text(LOSS_TABLE, "\n".join([*head, *rows]), step)
        self._new_step = step

    def commit(self) -> None:
        """Write to disk: a run that is killed loses no step before its checkpoint."""
        if self._new_step is not None:
            picture = picture_of(self.folder, self._new_step)
            if picture is not None:
                pixels = np.asarray(Image.open(picture))
                self._writer.add_image(
                    PICTURE, pixels, self._new_step, dataformats="HWC"
                )
            self._writer.flush()
            self._new_step = None

    def close(self) -> None:
        """End the event file."""
        if self._writer is not None:
            self._writer.close()


def _last_table(place: Path) -> int:
    """The step of the last table of losses in event files; -1 for none."""
    keep_last = {"tensors": 1, "scalars": 1}
    events = EventAccumulator(str(place), size_guidance=keep_last).Reload()
    tag = f"{LOSS_TABLE}/text_summary"
    if tag not in events.Tags()["tensors"]:
        return -1
    return max(int(event.step) for event in events.Tensors(tag))
