"""Compare held-out loss with predictions without a model: a run that is no better has learned nothing.

The order-0 entropy is the cross-entropy of predicting every token (or base) by its frequency alone. Where a modality
has a better such prediction, for example a table of alignment columns, it is used too, at the end of training.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F  # noqa: N812

from r2mae.data.source import SampleSource
from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import Role
from r2mae.training.module import Engine
from r2mae.training.run_folder import RunFolder

_TOLERANCE = 0.01  # share of the entropy
_MIN_ROWS = 256
_MIN_TOKENS = 1 << 20


def order_0_entropy(model: Any, source: SampleSource) -> float:
    """Nats a token: the entropy of token frequencies, counted over about a million tokens that may be hidden.

    model: a `MaskedModel` with `named_targets`.

    Source: Miller 1955, for the bias of counting few tokens.
    """
    num_rows = max(_MIN_ROWS, _MIN_TOKENS // math.prod(model.grid))
    num_rows = min(num_rows, len(source))
    rows = torch.linspace(0, len(source) - 1, num_rows, dtype=torch.float64).long()
    counts = torch.zeros(0, dtype=torch.float64)
    for part in rows.split(32):
        batch = source.load(part, None, 0)
        eligible = model.masking.eligible(batch)
        if eligible.dtype != torch.bool:
            eligible = (eligible == Role.HIDEABLE) | (eligible == Role.TARGET)
        targets = model.named_targets(batch, build_mask(eligible))[0]
        part_counts = torch.bincount(targets, minlength=len(counts)).double()
        counts = part_counts + F.pad(counts, (0, len(part_counts) - len(counts)))
    shares = counts[counts > 0] / counts.sum()
    bias = (len(shares) - 1) / (2 * counts.sum())
    return float(-(shares * shares.log()).sum() + bias)


@dataclass(frozen=True)
class NaiveLoss:
    """Cross-entropy of a prediction without a model, in nats a token.

    description: of the prediction, such as "predicting every token by its frequency alone".
    """

    nats: float
    description: str


class Order0(lightning.Callback):
    """Warns when held-out loss is no better than that of predictions without a model.

    Compares with the order-0 entropy, once after warm-up and a tenth of training, and at the end. At the end it also
    compares with `naive_loss`, if there is one. All held-out targets are hidden, so a loss near the entropy means that
    visible tokens are not used; the training loss would not show it where some targets stay visible. Comes after
    `PretrainingValidation`. run.json records the outcome as "learned_nothing".
    """

    def __init__(
        self,
        train: SampleSource,
        folder: RunFolder,
        warmup_steps: int,
        naive_loss: Callable[[], NaiveLoss | None] = lambda: None,
    ) -> None:
        self.train = train
        self.folder = folder
        self.warmup_steps = warmup_steps
        self.naive_loss = naive_loss
        self.entropy: float | None = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Compare at the first validation after warm-up and a tenth of training, and at the last."""
        if not trainer.is_global_zero or not self._is_due(pl_module):
            return
        step, loss = pl_module.steps_done, pl_module.validation_loss
        assert loss is not None
        self.entropy = self.entropy or order_0_entropy(pl_module.model, self.train)
        metrics = {"validation/order_0_loss": self.entropy}
        expected = NaiveLoss(
            self.entropy, "predicting every token by its frequency alone"
        )
        if step == pl_module.num_steps and (naive := self.naive_loss()) is not None:
            metrics["validation/naive_loss"] = naive.nats
            expected = min(expected, naive, key=lambda candidate: candidate.nats)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step)
        # Negated, so that a loss of NaN counts.
        learned_nothing = not loss <= (1 - _TOLERANCE) * expected.nats
        self.folder.write_status(learned_nothing=learned_nothing)
        if learned_nothing:
            self._warn(step, pl_module.num_steps, loss, expected)

    def _is_due(self, engine: Engine) -> bool:
        step, last = engine.steps_done, engine.num_steps
        if engine.report is None or engine.validation_loss is None:
            return False
        if not engine.validated_step == step > 0:
            return False
        if step == last:
            return True
        is_early = 10 * step < last or step <= self.warmup_steps
        return self.entropy is None and not is_early

    def _warn(self, step: int, last: int, loss: float, expected: NaiveLoss) -> None:
        so_far = "" if step == last else " so far"
        print(
            f"{self.folder.path}: the model has learned nothing{so_far}: at step {step} of {last} its held-out loss "
            f"is {loss:.4f}, and {expected.description} costs {expected.nats:.4f}. "
            "Check optimizer.lr, mask.ratio and the data.",
            file=sys.stderr,
            flush=True,
        )
