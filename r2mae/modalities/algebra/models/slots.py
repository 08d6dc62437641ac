"""What both networks share: which slots are masked, the loss, and the recorded curve.

Shapes: B samples, 3 slots, K masked slots, N elements, D features.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask, build_mask
from r2mae.masking.pattern import Role
from r2mae.modalities.algebra.models.curve import Curve, CurvePlan
from r2mae.models.masked_module import EncoderModule, MaskedModule
from r2mae.models.protocol import MaskedOutput

NUM_SLOTS = 3


@dataclass(frozen=True)
class SlotRules:
    """Masking rules: any slot, or always the product and nothing else."""

    product_only: bool
    grid: tuple[int, ...] = (NUM_SLOTS,)
    gathers: bool = True

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, 3) bool, or a `Role` each."""
        triples = batch["triples"]
        if not self.product_only:
            return torch.ones_like(triples, dtype=torch.bool)
        roles = torch.full_like(triples, Role.SEEN, dtype=torch.int8)
        roles[:, -1] = Role.TARGET
        return roles

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """Nothing."""
        return {}


class SlotEncoder(EncoderModule):
    """Features of (g1, g2). The product is the label of a sample and never enters them."""

    num_elements: int

    @abstractmethod
    def features(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, D) of the visible slots of triples (B, 3)."""

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of g1 and g2, or of those of them that are visible."""
        return self.features(batch["triples"], _without_product(batch, mask))

    def example(self, num_samples: int) -> dict[str, Any]:
        """A batch of identity triples."""
        return {"triples": torch.zeros(num_samples, NUM_SLOTS, dtype=torch.int64)}

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, 2 N) one-hot g1 and g2, NaN where hidden."""
        hidden = _without_product(batch, mask)[:, :2, None]
        one_hot = F.one_hot(batch["triples"][:, :2], self.num_elements).float()
        return one_hot.masked_fill(hidden, torch.nan).flatten(1)


def _without_product(batch: dict[str, Any], mask: Mask | None) -> Tensor:
    """(B, 3) bool: hidden slots, the product among them."""
    triples = batch["triples"]
    hidden = torch.zeros_like(triples, dtype=torch.bool)
    hidden[:, 2] = True
    return hidden if mask is None else hidden | mask.is_masked


class MaskedSlots(SlotEncoder, MaskedModule):
    """A `MaskedModel` of triples. Subclasses give `slot_logits` and `functions`."""

    grid = (NUM_SLOTS,)
    product_only: bool
    curve: Curve

    def set_up(self, num_elements: int, product_only: bool, plan: CurvePlan) -> None:
        """Set what both networks need; called once, in the constructor."""
        self.num_elements = num_elements
        self.product_only = product_only
        self.curve = Curve(plan)

    @abstractmethod
    def slot_logits(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, 3, N) of each slot; (B, 1, N) of the product where it alone is masked."""

    @abstractmethod
    def functions(self) -> Tensor:
        """(F, N, M) weights as functions on the group: F of each of M neurons."""

    @property
    def masking(self) -> SlotRules:
        """Any slot, or the product."""
        return SlotRules(self.product_only)

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """An example; where the product alone is masked, so it is here."""
        if not self.product_only:
            return super().cost_inputs(num_samples, num_visible)
        batch = self.example(num_samples)
        slots = torch.arange(NUM_SLOTS).expand(num_samples, -1)
        hidden = torch.ones_like(slots, dtype=torch.bool)
        return batch, Mask(hidden, slots[:, :2], slots[:, 2:])

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, 3) elements; -1 at slots that are never masked."""
        triples: Tensor = batch["triples"]
        if not self.product_only:
            return triples
        never = torch.arange(NUM_SLOTS, device=triples.device) < NUM_SLOTS - 1
        return triples.masked_fill(never, -1)

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """Masked elements, row by row."""
        return batch["triples"][mask.is_masked], None

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Cross-entropy at masked slots; predictions are logits (B, K, N)."""
        triples = batch["triples"]
        position = batch.get("first_position")  # None outside of training
        if self.training and position is not None:
            self.curve.record(self, position)
        logits = self.slot_logits(triples, mask.is_masked)
        if not self.product_only:
            places = mask.masked[:, :, None].expand(-1, -1, self.num_elements)
            logits = logits.gather(1, places)
        targets = triples.gather(1, mask.masked)
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        weight = mask.masked_weight
        if weight is None:
            weight = torch.ones_like(losses)
        weight = weight.to(losses.dtype)
        return MaskedOutput(LossSum((losses * weight).sum(), weight.sum()), logits)


def product_mask(triples: Tensor) -> Mask:
    """The mask that hides the product of triples (B, 3) alone."""
    hidden = torch.zeros_like(triples, dtype=torch.bool)
    hidden[:, 2] = True
    return build_mask(hidden)


def normal_parameter(shape: tuple[int, ...], scale: float) -> nn.Parameter:
    """Independent normal weights of a standard deviation."""
    return nn.Parameter(scale * torch.randn(shape))
