"""What a person sees while training: how far, how fast, how long still; and the numbers that loggers get."""

import sys
import time
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import Logger

from r2mae.training.module import Engine
from r2mae.training.run_folder import RunFolder

_PLAIN_SECONDS = 10.0  # between lines when nobody watches a terminal
_LIVE_SECONDS = 0.2
_HEADER = "step,metric,value"


class Progress(lightning.Callback):
    """Logs the training numbers every `log_every` steps and shows one line: a live one on a terminal."""

    def __init__(self, global_samples: int, log_every: int) -> None:
        self.global_samples = global_samples
        self.log_every = log_every
        self._losses: list[torch.Tensor] = []
        self._visible = 0
        self._first_step = self._mark_step = 0
        self._start = self._mark = self._shown = 0.0
        self._line = ""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Engine) -> None:
        """Start the clocks, and the loggers where training starts."""
        for logger in trainer.loggers:
            logger.log_hyperparams(pl_module.description["recipe"])
            if isinstance(logger, CsvLogger):
                logger.rewind(pl_module.start_step)
        self._start = self._mark = time.monotonic()
        self._first_step = self._mark_step = pl_module.start_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Collect, without asking the device; read it every `log_every` steps."""
        report = pl_module.report
        if report is None:
            return
        self._losses.append(report.loss)
        self._visible += report.num_visible * trainer.world_size
        if report.step % self.log_every and report.step != pl_module.num_steps:
            return
        losses = torch.stack(
            self._losses
        ).cpu()  # waits for the device, so the clock below is honest
        loss = float(
            losses[losses.isfinite()].mean()
        )  # nan where no step was finite: the recorder has the word
        now = time.monotonic()
        seconds, steps = max(now - self._mark, 1e-9), report.step - self._mark_step
        metrics = {
            "train/loss": loss,
            "train/lr": report.lr,
            "train/grad_norm": float(report.grad_norm),
            "train/samples_per_second": steps * self.global_samples / seconds,
        }
        if report.mask_ratio is not None:
            metrics["train/mask_ratio"] = report.mask_ratio
            metrics["train/visible_tokens_per_second"] = self._visible / seconds
        for logger in trainer.loggers:
            logger.log_metrics(metrics, report.step)
        if trainer.is_global_zero:
            self._show(report.step, pl_module.num_steps, metrics, now)
        self._losses, self._visible, self._mark, self._mark_step = (
            [],
            0,
            time.monotonic(),
            report.step,
        )

    def _show(
        self, step: int, num_steps: int, metrics: dict[str, float], now: float
    ) -> None:
        live = sys.stderr.isatty()
        is_last = step == num_steps
        if not is_last and now - self._shown < (
            _LIVE_SECONDS if live else _PLAIN_SECONDS
        ):
            return
        self._shown = now
        left = (
            (now - self._start) / max(1, step - self._first_step) * (num_steps - step)
        )
        line = f"step {step}/{num_steps} ({step / num_steps:.0%})  loss {metrics['train/loss']:.4f}  "
        if "train/mask_ratio" in metrics:
            line += f"ratio {metrics['train/mask_ratio']:.2f}  "
            line += (
                f"{metrics['train/visible_tokens_per_second']:,.0f} visible tokens/s  "
            )
        line += (
            f"{metrics['train/samples_per_second']:,.0f} samples/s  {clock(left)} left"
        )
        if live:
            sys.stderr.write(f"\r{line:<{len(self._line)}}" + ("\n" if is_last else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
        self._line = line

    def teardown(
        self, trainer: lightning.Trainer, pl_module: Engine, stage: str
    ) -> None:
        """Leave the live line when training stops in the middle of it."""
        if (
            self._line
            and sys.stderr.isatty()
            and pl_module.steps_done < pl_module.num_steps
        ):
            sys.stderr.write("\n")


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class CsvLogger(Logger):
    """metrics.csv in tidy form, `step,metric,value`: append-only, so a continued run continues its file."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """Of the run."""
        return self.folder.name

    @property
    def version(self) -> str:
        """One folder, one run."""
        return ""

    @lightning.utilities.rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget rows after a step: training continues there."""
        if self.folder.metrics.is_file():
            _, *rows = self.folder.metrics.read_text(errors="replace").splitlines() or [
                ""
            ]
            whole = [
                row
                for row in rows
                if row.count(",") == 2 and row.split(",")[0].isdecimal()
            ]
            kept = [row for row in whole if int(row.split(",")[0]) <= step]
            self.folder.metrics.write_text("\n".join([_HEADER, *kept]) + "\n")

    @lightning.utilities.rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row a metric."""
        is_new = not self.folder.metrics.is_file()
        with self.folder.metrics.open("a") as file:
            if is_new:
                file.write(f"{_HEADER}\n")
            file.writelines(
                f"{step},{metric},{value:.8g}\n" for metric, value in metrics.items()
            )

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """recipe.yaml holds them."""
