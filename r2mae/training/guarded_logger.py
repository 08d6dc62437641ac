"""Loggers beside metrics.csv: one that fails is turned off, and training goes on."""

from collections.abc import Callable
from typing import Any, Protocol

import pytorch_lightning as lightning
from pytorch_lightning.loggers import Logger

from r2mae.progress import print_above_bars


class MetricsSink(Protocol):
    """Where metrics go: a wandb run, or event files of TensorBoard."""

    def begin(self, start_step: int, config: dict[str, Any]) -> None:
        """Open it, and complete its history up to the step that training continues from."""
        ...

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Add metrics of a step."""
        ...

    def commit(self) -> None:
        """The step is measured: write what was added."""
        ...

    def close(self) -> None:
        """Training has ended."""
        ...


class GuardedLogger(Logger):
    """Passes metrics on, on rank 0; after the first error nothing, with one warning line."""

    def __init__(self, title: str, sink: MetricsSink) -> None:
        super().__init__()
        self.title = title
        self._sink: MetricsSink | None = sink

    @property
    def name(self) -> str:
        """As in the recipe's `log`."""
        return self.title

    @property
    def version(self) -> str:
        """Empty, as a folder holds one run."""
        return ""

    def begin(self, start_step: int, config: dict[str, Any]) -> None:
        """Open the sink."""
        self._pass_on(lambda sink: sink.begin(start_step, config))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics of a step."""
        assert step is not None
        self._pass_on(lambda sink: sink.log_metrics(metrics, step))

    def commit(self) -> None:
        """Write what was added."""
        self._pass_on(lambda sink: sink.commit())

    def close(self) -> None:
        """Close the sink."""
        self._pass_on(lambda sink: sink.close())

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `begin` gets them."""

    def _pass_on(self, call: Callable[[MetricsSink], None]) -> None:
        if self._sink is None or lightning.utilities.rank_zero_only.rank != 0:
            return
        try:
            call(self._sink)
        except Exception as error:
            self._sink = None
            reason = (str(error).strip().splitlines() or [""])[0]
            print_above_bars(
                f"log: {self.title} failed, and is off for the rest of this run: "
                f"{type(error).__name__}: {reason}"
            )


class Rows(lightning.Callback):
    """Commits the metrics of each step; comes after what measures, before what saves."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, *args: Any, **kwargs: Any
    ) -> None:
        """The step has been measured."""
        for logger in trainer.loggers:
            if isinstance(logger, GuardedLogger):
                logger.commit()
