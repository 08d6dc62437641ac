"""Dilated convolutions over DNA.

Shapes: B windows, N positions, S species, M hidden positions, D width.
Features are (B, N, D), channels last.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask
from r2mae.masking.replacement import replace_hidden
from r2mae.modalities.dna.conservation import Conservation
from r2mae.modalities.dna.models.columns import (
    MASKED,
    NUM_BASES,
    NUM_LETTERS,
    PADDING,
    UNKNOWN,
    Columns,
    baseline,
    loss_weights,
    over_strands,
    refuse_species,
    tokens_of_strands,
    weights_at,
)
from r2mae.modalities.dna.models.conv_block import ConvBlock
from r2mae.modalities.dna.models.strands import tie_head, tie_strands
from r2mae.models.depths import parameter_depths
from r2mae.models.masking_rules import masked_slots
from r2mae.models.measured_cost import MeasuredCost
from r2mae.models.packed import collect
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import pool
from r2mae.models.protocol import MaskedOutput
from r2mae.models.recompute import recompute


class DnaConv(nn.Module):
    """Bases, and aligned species where there are some -> D features. Implements `Encoder`.

    depth: number of blocks, which cycle through the dilations.
    num_others: species beside the reference, 0 without an alignment.
    rc_equivariant: share weights between both strands, see `models.strands`.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        kernel: int,
        dilations: tuple[int, ...],
        dropout: float = 0.0,
        num_others: int = 0,
        rc_equivariant: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.num_others = num_others
        self.rc_equivariant = rc_equivariant
        self.letters = nn.Embedding(NUM_LETTERS, width)
        self.columns = Columns(num_others, width) if num_others else None
        self.blocks = nn.ModuleList(
            ConvBlock(width, kernel, dilations[number % len(dilations)], dropout)
            for number in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        if rc_equivariant:
            tie_strands(self)

    def encode(self, shown: Tensor, batch: dict[str, Any]) -> Tensor:
        """(B, N, D) of the corrupted bases shown (B, N)."""
        is_inside = None
        hidden: Tensor = self.letters(shown)
        if "lengths" in batch:  # sequences of unequal lengths
            is_inside = (shown != PADDING)[:, :, None].to(hidden.dtype)
        if self.columns is not None and "others" in batch:
            hidden = hidden + self.columns(batch["others"])
        for block in self.blocks:
            hidden = block(hidden, is_inside)
        finished: Tensor = self.norm(hidden)
        return finished if is_inside is None else finished * is_inside

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) means over bases, and over both strands where the batch has them."""
        return over_strands(self._means, batch)

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, N, D), is_token (B, N)) of bases, of both strands as in `embed`."""
        return tokens_of_strands(self._encode_bases, batch)

    def _means(self, batch: dict[str, Any]) -> Tensor:
        return pool(*self._encode_bases(batch))

    def _encode_bases(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(B, N, D) encoded bases, and (B, N) which are no padding."""
        bases = batch["bases"]
        return self.encode(bases, batch), bases != PADDING

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, 1024) log1p of 5-mer counts."""
        return baseline(batch)

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def at_layer(self, layer: int) -> Self:
        """The encoder up to a block, with the final norm."""
        return copy_with(self, blocks=self.blocks[:layer])

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder."""
        last = len(self.blocks) + 1
        return parameter_depths(self, {"letters": 0, "columns": 0, "norm": last})

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place."""
        for block in self.blocks:
            block.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Recompute activations of the blocks in backward."""
        recompute(self.blocks)


@dataclass(frozen=True)
class BaseMasking:
    """A, C, G and T may be masked; the corruption of BERT. Implements `MaskingRules`.

    replacement: fractions of masked bases that become [MASK] and a random base.
    conservation: weights of bases in the loss; None weighs all the same.
    """

    grid: tuple[int, ...]
    replacement: tuple[float, float] = (1.0, 0.0)
    conservation: Conservation | None = None
    gathers: bool = False

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) bool: A, C, G and T, not N or padding."""
        is_base: Tensor = batch["bases"] < UNKNOWN
        return is_base

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """{"shown", "masked_slots"}, with "weights" and "labels" (B, N) where weighted.

        shown: (B, N) corrupted bases, a function of (seed, position).
        masked_slots: (M,) places of masked bases in the flattened rows.
        """
        bases, positions = batch["bases"], batch["positions"]
        shown = replace_hidden(
            bases,
            mask.is_masked,
            MASKED,
            torch.arange(NUM_BASES),
            self.replacement,
            seed,
            positions,
        )
        entries = {"shown": shown, "masked_slots": masked_slots(batch, mask)}
        return entries | loss_weights(self.conservation, batch, seed)


class MaskedDnaConv(MeasuredCost, DnaConv):
    """Predicts hidden bases of the reference.

    Implements `MaskedModel` and `PredictsClasses`.

    length: bases of a window, N.
    replacement: fractions of hidden bases that become [MASK] and a random base.
    conservation: weights of bases in the training loss; evaluation weighs all the same.
    """

    def __init__(
        self,
        *,
        length: int,
        replacement: tuple[float, float] = (1.0, 0.0),
        conservation: Conservation | None = None,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self.grid = (length,)
        self.masking = BaseMasking(self.grid, replacement, conservation)
        self.predict = nn.Linear(self.width, NUM_BASES)
        nn.init.normal_(self.predict.weight, std=0.02)
        nn.init.zeros_(self.predict.bias)
        if self.rc_equivariant:
            tie_head(self.predict)

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) int64 bases, -1 for N and padding.

        Raises: InputError for alignments, whose other species are never masked.
        """
        refuse_species(self.columns)
        bases: Tensor = batch["bases"]
        return bases.long().masked_fill(~self.masking.eligible(batch), -1)

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) means over bases; with a mask, of the given strand with hidden bases masked."""
        if mask is None:
            return super().embed(batch)
        return self._means(_hide(batch, mask))

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, N, D), is_token (B, N)); with a mask, as in `embed`.

        Hidden bases are masked and remain tokens.
        """
        if mask is None:
            return super().embed_tokens(batch)
        return self._encode_bases(_hide(batch, mask))

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, 1024) log1p of 5-mer counts; of expected ones where bases are hidden."""
        return baseline(batch, None if mask is None else mask.is_masked)

    def logits(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(M, 4) at each hidden position, row by row."""
        shown = batch.get("shown")
        if shown is None:
            shown = batch["bases"].masked_fill(mask.is_masked, MASKED)
        features = self.encode(shown, batch).flatten(0, 1)
        logits: Tensor = self.predict(collect(features, masked_slots(batch, mask)))
        return logits if logits.dtype == torch.float64 else logits.float()

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(labels (M,), weights (M,) or None for equal weights), row by row."""
        slots = masked_slots(batch, mask)
        labels = batch.get("labels", batch["bases"]).flatten()[slots]
        return labels, weights_at(batch, mask, slots)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden bases; predictions (M,): the likeliest base, row by row."""
        logits = self.logits(batch, mask)
        loss = weighted_loss(logits, *self.named_targets(batch, mask))
        return MaskedOutput(loss, logits.argmax(dim=1))

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:
        """None: DNA has no pictures."""
        return None

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """Windows of any bases, for the costs."""
        shape, hidden = (num_samples, self.grid[0]), self.grid[0] - num_visible
        bases = torch.zeros(shape, dtype=torch.int64)
        empty = bases[:, :0]
        mask = Mask(bases.bool(), empty, empty)
        slots = torch.zeros(num_samples * hidden, dtype=torch.int64)
        batch = {"bases": bases, "masked_slots": slots}
        if self.num_others:
            batch["others"] = torch.zeros(*shape, self.num_others, dtype=torch.uint8)
        return batch, mask


def _hide(batch: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """The batch with hidden bases masked."""
    return batch | {"bases": batch["bases"].masked_fill(mask.is_masked, MASKED)}


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor | None) -> LossSum:
    """Cross-entropy of logits (M, V) and labels (M,), times weights (M,) where given.

    The count is the sum of the weights, or M.
    """
    losses = F.cross_entropy(logits, labels, reduction="none")
    if weights is None:
        return LossSum(losses.sum(), losses.new_full((), float(len(losses))))
    weights = weights.to(losses.dtype)
    return LossSum((losses * weights).sum(), weights.sum())


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, MaskedModel, ReadsLayers

    _encoder: type[Encoder] = DnaConv
    _reads_layers: type[ReadsLayers] = DnaConv
    _masked_model: type[MaskedModel] = MaskedDnaConv
