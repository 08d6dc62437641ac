"""Losses: masked prediction, classification, several labels, spans, regression. The engine knows only `Objective`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.data.source import Batch
from r2mae.law import MaskLaw
from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask
from r2mae.masking.pattern import Role, is_token_of, sample_mask
from r2mae.masking.ratio import draw_ratios
from r2mae.models.masking_rules import MaskingRules


class Objective(Protocol):
    """A loss in two parts: random draws on the host, and the loss on the device.

    Objectives hold no parameters: DataLoader workers have copies.
    """

    @property
    def seed(self) -> int:
        """Of the run."""
        ...

    def prepare(self, batch: Batch, step: int) -> Batch:
        """The batch with masks or targets, a function of (seed, step, positions).

        Runs on the host, in DataLoader workers. If tokens are masked, it has "num_visible" and "num_tokens".
        """
        ...

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """(sum, count) of the batch: the mean loss is sum / count over all ranks and micro-batches."""
        ...


class LabelObjective(Objective, Protocol):
    """An objective on labelled samples, with metrics for validation."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what `sum_measures` returns, "loss" first."""
        ...

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(measures,) each summed over the samples."""
        ...


@dataclass(frozen=True)
class MaskedPrediction:
    """Hides positions and predicts them: the law draws how many, the pattern which."""

    law: MaskLaw
    pattern: str
    seed: int
    num_steps: int
    masking: MaskingRules

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Draw the mask, and corrupt the input."""
        masking, positions = self.masking, batch["positions"]
        progress = step / self.num_steps
        ratios = draw_ratios(self.law, self.seed, step, progress, positions)
        eligible = masking.eligible(batch)
        grid = masking.grid if len(masking.grid) > 1 else (eligible.shape[1],)
        mask = sample_mask(
            self.pattern,
            eligible,
            ratios,
            self.seed,
            positions,
            grid,
            step=step,
            columns=batch.get("columns"),
            units=batch.get("units"),
            gather=masking.gathers,
        )
        is_token = is_token_of(eligible)
        num_tokens = int(is_token.sum())
        num_visible = num_tokens - int((mask.is_masked & is_token).sum())
        counts: dict[str, Any] = {"num_visible": num_visible, "num_tokens": num_tokens}
        if self.law.weight == "sum":
            counts["count_scale"] = self._count_scale(mask, eligible, progress)
        weight = self._sample_weight(mask, ratios)
        mask = mask if weight is None else mask.with_sample_weight(weight)
        corrupted = masking.corrupt(batch, mask, self.seed)
        return batch | corrupted | counts | {"mask": mask}

    def _sample_weight(self, mask: Mask, ratios: Tensor) -> Tensor | None:
        """(B,) weights of a sample's masked positions in the loss; None for 1."""
        if self.law.weight == "inverse_ratio":
            return (1 / ratios).float()
        if self.law.weight == "sample":
            return 1 / mask.is_masked.sum(dim=1).clamp(min=1).float()
        return None

    def _count_scale(self, mask: Mask, eligible: Tensor, progress: float) -> float:
        """Expected number of masked positions, relative to this micro-batch's own."""
        is_eligible, num_targets = eligible, 0
        if eligible.dtype != torch.bool:
            is_eligible = (eligible == Role.HIDEABLE) | (eligible == Role.DECOY)
            num_targets = int((eligible == Role.TARGET).sum())
        expected = self.law.mean(progress) * float(is_eligible.sum()) + num_targets
        return expected / max(1, int(mask.is_masked.sum()))

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """Over masked positions, weighted as the law says."""
        loss: LossSum = model(batch, batch["mask"]).loss
        scale = batch.get("count_scale")
        return loss if scale is None else LossSum(loss.total, loss.count * scale)


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of a `Classifier` with smoothed, weighted, mixed labels.

    targets: (N,) class numbers 0 .. C - 1 of all samples of the split, by the sample's index.
    weights: (C,) of classes in the loss; None weights all equally.

    Source: torch's `cross_entropy` for weights and smoothing; He et al. 2019 for mixing as two targets.
    """

    targets: Tensor
    seed: int
    label_smoothing: float = 0.0
    weights: Tensor | None = None
    measures = ("loss", "accuracy")

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Look up the labels; of a mixed batch those of its partners too."""
        targets = self.targets[batch["indices"]]
        entries = {"targets": targets}
        if self.weights is not None:
            entries["class_weights"] = self.weights
        if "share" in batch:
            entries["partners"] = targets.unflatten(0, (-1, 2)).flip(1).flatten()
        return batch | entries

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """Summed over samples, counted by the weights of their classes."""
        logits = model(batch).float()
        weights, share = batch.get("class_weights"), batch.get("share")
        total, count = self._summed(logits, batch["targets"], weights, share)
        if share is not None:
            partners = self._summed(logits, batch["partners"], weights, 1 - share)
            total = total + partners[0]
            count = count + partners[1]
        return LossSum(total, count)

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy and correct predictions, without smoothing, weights or mixing."""
        right = (outputs.argmax(dim=1) == targets).sum()
        loss = F.cross_entropy(outputs, targets, reduction="sum")
        return torch.stack([loss, right.float()])

    def _summed(
        self,
        logits: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        share: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(
            logits,
            targets,
            weight=weights,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        counts = torch.ones_like(losses) if weights is None else weights[targets]
        if share is not None:
            share = share.to(losses.dtype)
            losses = losses * share
            counts = counts * share
        return losses.sum(), counts.sum()


@dataclass(frozen=True)
class AnswerSpan(Classification):
    """Cross-entropy of a `SpanClassifier`, a mean over first and last token.

    targets: (N, 2) places of these tokens in the rows of all samples, 0 for no answer.
    """

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, and samples of which both tokens are right."""
        right = (outputs.argmax(dim=1) == targets).all(dim=1).sum()
        loss = F.cross_entropy(outputs, targets, reduction="sum") / 2
        return torch.stack([loss, right.float()])


@dataclass(frozen=True)
class MultiLabel:
    """Binary cross-entropy of a `Classifier`, a mean over labels.

    targets: (N, C) 0 or 1 of all samples of the split, by the sample's index, float32.
    """

    targets: Tensor
    seed: int
    measures = ("loss",)

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Look up the labels; a mixed sample's are shares of its own and of its partner's."""
        targets = self.targets[batch["indices"]]
        if "share" in batch:
            share = batch["share"].to(targets.dtype)[:, None]
            partners = targets.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
            targets = share * targets + (1 - share) * partners
        return batch | {"targets": targets}

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """Summed over samples."""
        targets = batch["targets"]
        total = self.sum_measures(model(batch).float(), targets)[0]
        return LossSum(total, total.new_full((), float(len(targets))))

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum over samples of the mean binary cross-entropy of their labels."""
        losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return losses.mean(dim=1).sum()[None]


@dataclass(frozen=True)
class WordTags:
    """Cross-entropy of a `WordClassifier`, a mean over words.

    targets: (W,) tag numbers 0 .. C - 1 of the words of all samples of the split.
    starts: (N + 1,) where the words of each sample start.
    """

    targets: Tensor
    starts: Tensor
    seed: int
    measures = ("loss", "accuracy")

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Look up the tags (W,) of the batch's words."""
        rows = batch["indices"]
        bounds = zip(self.starts[rows], self.starts[rows + 1], strict=True)
        targets = torch.cat([self.targets[start:stop] for start, stop in bounds])
        return batch | {"targets": targets}

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """Summed over words."""
        targets = batch["targets"]
        total = self.sum_measures(model(batch).float(), targets)[0]
        return LossSum(total, total.new_full((), float(len(targets))))

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy and correct tags of words."""
        right = (outputs.argmax(dim=1) == targets).sum()
        loss = F.cross_entropy(outputs, targets, reduction="sum")
        return torch.stack([loss, right.float()])


@dataclass(frozen=True)
class Regression:
    """Squared error of a head with one output, for standardized targets.

    targets: (N,) of all samples of the split, by the sample's index, of mean 0 and variance 1 over training samples.
    """

    targets: Tensor
    seed: int
    measures = ("loss",)

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Look up the targets."""
        return batch | {"targets": self.targets[batch["indices"]]}

    def loss(self, model: Any, batch: Batch) -> LossSum:
        """Summed over samples."""
        targets = batch["targets"]
        total = self.sum_measures(model(batch).float(), targets)[0]
        count = total.new_full((), float(len(targets)))
        return LossSum(total, count)

    def sum_measures(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum of squared errors; predicting the mean gives 1 per training sample on average."""
        return F.mse_loss(outputs[:, 0], targets, reduction="sum")[None]


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _objective: type[Objective] = MaskedPrediction
    _objective_2: type[LabelObjective] = Classification
    _objective_3: type[LabelObjective] = Regression
    _objective_4: type[LabelObjective] = MultiLabel
    _objective_5: type[LabelObjective] = WordTags
    _objective_6: type[LabelObjective] = AnswerSpan
