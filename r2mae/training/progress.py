"""Training progress on stderr, and the training numbers for loggers."""

from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import Logger

from r2mae.data.atomic import write_atomic
from r2mae.progress import Bar
from r2mae.training.guarded_logger import GuardedLogger
from r2mae.training.metric_log import numbered_rows
from r2mae.training.module import Engine
from r2mae.training.run_config import run_config
from r2mae.training.run_folder import RunFolder
from r2mae.training.throughput import Throughput

_LINE = "step {n}/{total} ({percentage:.0f}%){postfix}, {remaining} left"
_HEADER = "step,metric,value"


class Progress(lightning.Callback):
    """Logs the training numbers every `log_every` steps, and shows them beside a progress bar."""

    def __init__(self, throughput: Throughput, log_every: int) -> None:
        self.throughput = throughput
        self.log_every = log_every
        self._losses: list[torch.Tensor] = []
        self._bar: Bar | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Start the clock, the bar and the loggers."""
        _begin_loggers(trainer, pl_module)
        self.throughput.start(trainer, pl_module.start_step)
        if trainer.is_global_zero:
            self._bar = Bar(
                total=pl_module.num_steps,
                initial=pl_module.start_step,
                bar_format="{bar:10} " + _LINE,
                line_format=_LINE,
                smoothing=0,  # time left by the mean rate, as validation makes steps uneven
            )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Collect losses on the device, without waiting for it; report every `log_every` steps."""
        report = pl_module.report
        if report is None:
            return
        self._losses.append(report.loss)
        self.throughput.add(report, trainer.world_size)
        if report.step % self.log_every and report.step != pl_module.num_steps:
            return
        metrics = self._read_metrics(report)
        # The device has finished these steps now, so the clock is right.
        metrics |= self.throughput.read(trainer, report.step)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, report.step)
        if self._bar is not None:
            is_first = self._bar.n == self._bar.initial
            self._bar.set_postfix_str(_describe(metrics), refresh=False)
            self._bar.show(
                report.step, force=is_first or report.step == pl_module.num_steps
            )

    def _read_metrics(self, report: Any) -> dict[str, float]:
        """Means since the last report; waits for the device."""
        losses = torch.stack(self._losses).cpu()
        self._losses = []
        metrics = {
            # nan if no step was finite, which the recorder reports
            "train/loss": float(losses[losses.isfinite()].mean()),
            "train/lr": report.lr,
            "train/grad_norm": float(report.grad_norm),
        }
        if report.mask_ratio is not None:
            metrics["train/mask_ratio"] = report.mask_ratio
        return metrics

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Let loggers complete a run that was killed after its last checkpoint: no step is left to train."""
        if pl_module.start_step == pl_module.num_steps:
            _begin_loggers(trainer, pl_module)

    def teardown(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        stage: str,
    ) -> None:
        """Leave the bar, also when training stops early."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _begin_loggers(trainer: lightning.Trainer, engine: Engine) -> None:
    """Open what the run logs to, up to the step that it starts from."""
    for logger in trainer.loggers:
        if isinstance(logger, CsvLogger):  # the first: others read its file
            logger.rewind(engine.start_step)
        if isinstance(logger, GuardedLogger):
            logger.begin(engine.start_step, run_config(trainer, engine))


def _describe(metrics: dict[str, float]) -> str:
    """The numbers of the progress line."""
    parts = [f"loss {metrics['train/loss']:.4f}"]
    if "train/mask_ratio" in metrics:
        tokens = metrics.get("train/visible_tokens_per_second", 0.0)
        parts.append(f"ratio {metrics['train/mask_ratio']:.2f}")
        parts.append(f"{tokens:,.0f} visible tokens/s")
    parts.append(f"{metrics['train/samples_per_second']:,.0f} samples/s")
    parts.append(f"{metrics['train/data_wait_share']:.0%} waiting for data")
    parts.append(f"{metrics['train/peak_memory_gib']:.1f} GiB")
    if "train/model_flop_utilization" in metrics:
        utilization = metrics["train/model_flop_utilization"]
        parts.append(f"{utilization:.0%} of peak FLOP/s")
    return ", ".join(parts)


class CsvLogger(Logger):
    """metrics.csv with columns step, metric and value; a continued run appends to its file."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def version(self) -> str:
        """Empty, as a folder holds one run."""
        return ""

    @lightning.utilities.rank_zero_only
    def rewind(self, step: int) -> None:
        """Delete rows after a step, from which training continues, and rows cut off by a crash."""
        if self.folder.metrics.is_file():
            kept = [row for number, row in numbered_rows(self.folder) if number <= step]
            write_atomic(self.folder.metrics, "\n".join([_HEADER, *kept]) + "\n")

    @lightning.utilities.rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a row for each metric."""
        is_new = not self.folder.metrics.is_file()
        with self.folder.metrics.open("a") as file:
            if is_new:
                file.write(f"{_HEADER}\n")
            file.writelines(
                f"{step},{metric},{value:.8g}\n" for metric, value in metrics.items()
            )

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: recipe.yaml holds them."""
