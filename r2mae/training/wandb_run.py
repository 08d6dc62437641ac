"""One wandb run, and one history, for a training that was stopped and continued.

Every row is logged whole under its training step, which is wandb's `_step`. A continued
run repeats the steps after its checkpoint: those that wandb has are not logged again, and
those that it lost when the run was killed are taken from metrics.csv. So `wandb sync` of
all offline folders gives each step once, in order.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import wandb
from pytorch_lightning.loggers import WandbLogger

from r2mae.training.checkpoint import read_manifest
from r2mae.training.metric_log import (
    LOSS_TABLE,
    PICTURE,
    loss_by_ratio,
    picture_of,
    read_metrics,
)
from r2mae.training.run_folder import RunFolder

# Of the manifest, in the metadata of an artifact.
_FACTS = ("step", "samples", "validation_loss", "law", "data", "commit", "versions")
_FILE_HEADER = 7  # bytes that wandb writes before the LevelDB log
_BLOCK, _RECORD_HEADER = 32768, 7
_FULL, _FIRST, _LAST = 1, 2, 4  # types of a LevelDB record


class WandbRun(WandbLogger):
    """Collects the metrics of a step, and logs them as one row. Implements `MetricsSink`.

    Held-out losses over mask ratios are a table beside them, and pictures of held-out samples are images. wandb's own
    folders lie in `wandb/` of the run folder.
    """

    def __init__(
        self, folder: RunFolder, run_id: str, with_checkpoint: bool = False
    ) -> None:
        """with_checkpoint: log the best checkpoint as an artifact once training has finished."""
        super().__init__(
            project="r2mae",
            name=folder.name,
            save_dir=str(folder.path),
            id=run_id,
            resume="allow",
        )
        self.folder = folder
        self.with_checkpoint = with_checkpoint
        self._logged_step = -1
        self._row: dict[str, float] = {}
        self._row_step = 0

    @property
    def experiment(self) -> Any:
        """wandb's own run, started when it is first needed; its earlier logs are mended."""
        if self._experiment is None and lightning.utilities.rank_zero_only.rank == 0:
            folder = self.folder.path / "wandb"
            self._logged_step = _mend_logs(folder, str(self.version))
        return super().experiment

    def begin(self, start_step: int, config: dict[str, Any]) -> None:
        """Start or continue the run, and complete its history up to a step."""
        self.log_hyperparams(config)
        self._catch_up(start_step)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        """Add metrics to the row of a step."""
        self._row |= metrics
        self._row_step = step

    def _catch_up(self, start_step: int) -> None:
        """Log the rows of metrics.csv up to start_step that wandb does not have."""
        # A run online continues after the last step that the server has.
        online_step = self.experiment.starting_step - 1
        self._logged_step = max(self._logged_step, online_step)
        for step, row in sorted(read_metrics(self.folder).items()):
            if step <= start_step:
                self.log_metrics(row, step)
                self.commit()

    def commit(self) -> None:
        """Log the row, unless wandb has one of its step."""
        if self._row and self._row_step > self._logged_step:
            row: dict[str, Any] = {"trainer/global_step": self._row_step, **self._row}
            losses = loss_by_ratio(self._row)
            if losses:
                # wandb.Table would store an artifact for each step.
                row[LOSS_TABLE] = wandb.Html(_as_table(losses))
            picture = picture_of(self.folder, self._row_step)
            if picture is not None:
                row[PICTURE] = wandb.Image(str(picture))
            self.experiment.log(row, step=self._row_step, commit=True)
        self._row = {}

    def close(self) -> None:
        """End wandb's run; otherwise the next one of this process would be logged into it."""
        if self._experiment is not None:
            if self.with_checkpoint:
                self._log_checkpoint()
            self.experiment.finish()

    def _log_checkpoint(self) -> None:
        """The best checkpoint of a finished run as an artifact, itself a run folder.

        Its metadata are facts of the manifest.
        """
        last = self.folder.pointer("last")
        planned = self.folder.read_status()["steps"]
        if last is None or read_manifest(last)["step"] != planned:
            return
        path = self.folder.pointer("best") or last
        manifest = read_manifest(path)
        facts = {key: manifest[key] for key in _FACTS if key in manifest}
        name = f"{self.folder.name}-checkpoint"
        artifact = wandb.Artifact(name, type="model", metadata=facts)
        artifact.add_file(str(self.folder.path / "recipe.yaml"))
        artifact.add_dir(str(path), f"checkpoints/{path.name}")
        with artifact.new_file("checkpoints/last") as pointer:
            pointer.write(path.name)
        self.experiment.log_artifact(artifact)


def _as_table(losses: list[tuple[float, float]]) -> str:
    """HTML of (mask ratio, held-out loss)."""
    rows = [f"<tr><td>{ratio:g}<td>{loss:.6g}" for ratio, loss in losses]
    return "".join(["<table><tr><th>mask ratio<th>held-out loss", *rows, "</table>"])


def read_records(file: Path) -> Iterator[Any]:
    """wandb's records in a transaction log, up to where a kill cut it off."""
    from wandb.proto.wandb_internal_pb2 import Record

    for _, payload in _payloads(file.read_bytes()):
        record = Record()
        record.ParseFromString(payload)
        yield record


def read_history(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(step, row) of the rows in a transaction log."""
    for record in read_records(file):
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            yield int(items["_step"]), items


def _mend_logs(folder: Path, run_id: str) -> int:
    """The last step in the logs of a run, -1 where there is none.

    `wandb sync` stops at a log that a kill cut off, and uploads none of the later ones.
    The incomplete last record is deleted; a log without records goes with its folder.
    """
    last_step = -1
    for file in folder.glob(f"*run-*-{run_id}/run-{run_id}.wandb"):
        ends = [end for end, _ in _payloads(file.read_bytes())]
        if not ends:
            shutil.rmtree(file.parent)
            continue
        if ends[-1] < file.stat().st_size:
            with file.open("r+b") as log:
                log.truncate(ends[-1])
        last_step = max([last_step, *(step for step, _ in read_history(file))])
    return last_step


def _payloads(log: bytes) -> Iterator[tuple[int, bytes]]:
    """(end, payload) of the records of a LevelDB log, up to the first incomplete one.

    Source: LevelDB's log format; a header holds a CRC (4 bytes), length (2), type (1).
    """
    at, payload = _FILE_HEADER, b""
    while at + _RECORD_HEADER <= len(log):
        left_in_block = _BLOCK - at % _BLOCK
        if left_in_block < _RECORD_HEADER:
            at += left_in_block  # padding
            continue
        length = int.from_bytes(log[at + 4 : at + 6], "little")
        record_type = log[at + 6]
        part = log[at + _RECORD_HEADER : at + _RECORD_HEADER + length]
        if record_type not in range(_FULL, _LAST + 1) or len(part) < length:
            return
        at += _RECORD_HEADER + length
        payload = part if record_type in (_FULL, _FIRST) else payload + part
        if record_type in (_FULL, _LAST):
            yield at, payload
