"""Dilated convolutions over DNA as a model of transformers. Needs torch and transformers alone.

`r2mae export --to transformers` copies this file beside the weights.

Shapes: B sequences, N bases, D width.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

PADDING = 6


class DnaConvConfig(PreTrainedConfig):
    """depth: number of blocks, which cycle through the dilations."""

    model_type = "r2mae_dna_conv"

    def __init__(
        self,
        width: int = 128,
        depth: int = 12,
        kernel: int = 9,
        dilations: tuple[int, ...] = (1,),
        **options: Any,
    ) -> None:
        self.width, self.depth, self.kernel = width, depth, kernel
        self.dilations = list(dilations)
        super().__init__(**options)


class DnaConvBlock(nn.Module):
    """x + linear(GELU(dilated convolution(norm(x)))), zero-padded at sequence ends."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        padding = (0, dilation * (kernel // 2))
        self.conv = nn.Conv2d(
            width, width, (1, kernel), padding=padding, dilation=(1, dilation)
        )
        self.mix = nn.Linear(width, width)

    def forward(self, hidden: Tensor, is_inside: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D); is_inside (B, N, 1): 1 for bases, 0 for padding."""
        normed = (self.norm(hidden) * is_inside).transpose(1, 2)[:, :, None]
        mixed = self.conv(normed).squeeze(2).transpose(1, 2)
        return hidden + self.mix(F.gelu(mixed))  # type: ignore[no-any-return]


class DnaConvModel(PreTrainedModel):
    """Bases -> features. `encode` makes the input of sequences."""

    config_class = DnaConvConfig

    def __init__(self, config: DnaConvConfig) -> None:
        super().__init__(config)
        dilations = config.dilations
        self.letters = nn.Embedding(PADDING + 1, config.width)
        self.blocks = nn.ModuleList(
            DnaConvBlock(config.width, config.kernel, dilations[n % len(dilations)])
            for n in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.post_init()

    @staticmethod
    def encode(sequences: list[str]) -> Tensor:
        """(B, N) int64: A C G T = 0 to 3, other letters = 4, padding at the end = 6.

        Raises: ValueError unless given a list of sequences, none of them empty.
        """
        if isinstance(sequences, str) or not sequences or not all(sequences):
            raise ValueError(
                f"sequences must be a list of texts, none empty, got {sequences!r:.40}."
            )
        longest = max(map(len, sequences))
        codes = torch.full((len(sequences), longest), PADDING)
        for row, sequence in zip(codes, sequences, strict=True):
            letters = sequence.upper().replace("U", "T")
            numbers = ["ACGT".find(letter) % 5 for letter in letters]  # -1 becomes 4
            row[: len(numbers)] = torch.tensor(numbers)
        return codes

    def forward(self, bases: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """bases (B, N) -> last_hidden_state (B, N, D), pooler_output (B, D), its mean."""
        is_inside = (bases != PADDING)[:, :, None].to(self.norm.weight.dtype)
        hidden = self.letters(bases)
        for block in self.blocks:
            hidden = block(hidden, is_inside)
        hidden = self.norm(hidden) * is_inside
        pooled = hidden.sum(dim=1) / is_inside.sum(dim=1).clamp(min=1)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden, pooler_output=pooled
        )


DnaConvConfig.register_for_auto_class()
DnaConvModel.register_for_auto_class("AutoModel")
