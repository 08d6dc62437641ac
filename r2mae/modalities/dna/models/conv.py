"""Dilated convolutions over DNA: every base sees its neighbours, further away with every block.

Shapes: B windows, N positions, S species, M hidden positions, D width. Features lie (B, N, D), channels last.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.loss import LossSum
from r2mae.masking.pattern import Mask
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
    over_strands,
    weighed,
)
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.rehearsal import Rehearsal, rehearse


class ConvBlock(nn.Module):
    """x + map(GELU(dilated convolution(norm(x)))); what lies outside a sequence is zero."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # A picture one row high: 1.4 times as fast on a CPU as Conv1d, whose channels come first.
        padding = (0, dilation * (kernel // 2))
        self.conv = nn.Conv2d(
            width, width, (1, kernel), padding=padding, dilation=(1, dilation)
        )
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, is_inside: Tensor | None) -> Tensor:
        """(B, N, D) -> (B, N, D); is_inside (B, N, 1), 0 for padding."""
        normed = self.norm(hidden)
        if is_inside is not None:
            normed = normed * is_inside
        mixed = self.conv(normed.transpose(1, 2)[:, :, None]).squeeze(2).transpose(1, 2)
        block: Tensor = hidden + self.dropout(self.mix(F.gelu(mixed)))
        return block


class DnaConv(nn.Module):
    """Bases, and other species' in an alignment, -> D features a base. Implements `Encoder`.

    depth: blocks; dilations are cycled through. num_others: species beside the reference, 0 without an alignment.
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
    ) -> None:
        super().__init__()
        self.width = width
        self.num_others = num_others
        self.letters = nn.Embedding(NUM_LETTERS, width)
        self.columns = Columns(num_others, width) if num_others else None
        self.blocks = nn.ModuleList(
            ConvBlock(width, kernel, dilations[number % len(dilations)], dropout)
            for number in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def encode(self, shown: Tensor, batch: dict[str, Any]) -> Tensor:
        """(B, N, D) of the letters that are shown (B, N)."""
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
        """(B, D) means over bases, and over strands where a batch has both; nothing hidden."""
        return over_strands(self._means, batch)

    def _means(self, batch: dict[str, Any]) -> Tensor:
        bases = batch["bases"]
        means: Tensor = self.encode(bases, batch).sum(dim=1) / (bases != PADDING).sum(
            dim=1, keepdim=True
        )
        return means

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, 1024) log1p of how often each word of 5 bases occurs."""
        return baseline(batch)

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter."""
        depths = {"letters": 0, "columns": 0, "norm": len(self.blocks) + 1}
        return {
            name: int(name.split(".")[1]) + 1
            if name.startswith("blocks.")
            else depths[name.split(".")[0]]
            for name, _ in self.named_parameters()
            if name.split(".")[0] in (*depths, "blocks")
        }

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place."""
        for block in self.blocks:
            block.compile(dynamic=True)


class MaskedDnaConv(DnaConv):
    """Predicts hidden bases of the reference. Implements `MaskedModel`.

    length: bases of a window, N. replacement: shares of hidden bases that become [MASK], and another base.
    conservation: what bases weigh in training; measurements weigh all alike.
    """

    gathers = True

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
        self.replacement, self.conservation = replacement, conservation
        self.predict = nn.Linear(self.width, NUM_BASES)
        nn.init.normal_(self.predict.weight, std=0.02)
        nn.init.zeros_(self.predict.bias)

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) bool: known bases."""
        is_known: Tensor = batch["bases"] < UNKNOWN
        return is_known

    def tokens(self, batch: dict[str, Any]) -> Tensor:  # noqa: ARG002 - as for every modality
        """Refused: bases are names, and the theory is of numbers."""
        raise InputError(
            "modality must be of numbers for the linear theory, got dna, whose bases are names."
        )

    def hide(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """What the network is given, "shown" (B, N), and what each base weighs, functions of (seed, position)."""
        four = torch.arange(NUM_BASES)
        bases, positions = batch["bases"], batch["positions"]
        shown = replace_hidden(
            bases, mask.is_masked, MASKED, four, self.replacement, seed, positions
        )
        return {"shown": shown} | weighed(self.conservation, batch, seed)

    def _logits(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        shown = batch.get("shown")
        shown = (
            batch["bases"].masked_fill(mask.is_masked, MASKED)
            if shown is None
            else shown
        )
        hidden = self.encode(shown, batch)
        asked = hidden.gather(1, mask.masked[:, :, None].expand(-1, -1, self.width))
        logits: Tensor = self.predict(asked)
        return logits if logits.dtype == torch.float64 else logits.float()

    def logits(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(M, 4) at each hidden position, row by row."""
        found = self._logits(batch, mask)
        return (
            found.flatten(0, 1)
            if mask.masked_weight is None
            else found[mask.masked_weight]
        )

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(what is asked for, what each weighs or None), both (M,), row by row."""
        labels = batch.get("labels", batch["bases"]).gather(1, mask.masked)
        weights = (
            batch["weights"].gather(1, mask.masked) if "weights" in batch else None
        )
        if mask.masked_weight is None:
            return labels.flatten(), None if weights is None else weights.flatten()
        return labels[mask.masked_weight], None if weights is None else weights[
            mask.masked_weight
        ]

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden bases; predictions (M,): the likeliest base at each, row by row."""
        logits, (labels, weights) = (
            self.logits(batch, mask),
            self.named_targets(batch, mask),
        )
        return MaskedOutput(weighed_loss(logits, labels, weights), logits.argmax(dim=1))

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:  # noqa: ARG002
        """No pictures."""
        return None

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for one window."""
        return self._rehearse(num_visible).flops // 2

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one window keeps for backward."""
        found = self._rehearse(num_visible)
        return Memory(found.wide // 2, found.narrow // 2)

    def _rehearse(self, num_visible: int) -> Rehearsal:
        length = self.grid[0]

        def batch_of_two() -> tuple[Any, ...]:
            places = torch.zeros(2, length, dtype=torch.int64)
            mask = Mask(
                places.bool(),
                places[:, length - num_visible :],
                places[:, : length - num_visible],
            )
            others = torch.zeros(2, length, self.num_others, dtype=torch.uint8)
            return {"bases": places} | (
                {"others": others} if self.num_others else {}
            ), mask

        return rehearse(
            self, batch_of_two, lambda output: output.loss.total, bf16=False
        )


def weighed_loss(logits: Tensor, labels: Tensor, weights: Tensor | None) -> LossSum:
    """Cross-entropy of logits (M, V) against labels (M,), times weights (M,) where given, counted by them."""
    losses = F.cross_entropy(logits, labels, reduction="none")
    if weights is None:
        return LossSum(losses.sum(), losses.new_full((), float(len(losses))))
    weights = weights.to(losses.dtype)
    return LossSum((losses * weights).sum(), weights.sum())
