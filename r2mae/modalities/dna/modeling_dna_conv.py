"""Dilated convolutions over DNA as a model of transformers. Needs torch and transformers alone.

`r2mae export --to transformers` copies this file beside the weights.

Shapes: B sequences, N bases, D width, C classes.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    SequenceClassifierOutput,
)

NUM_BASES, PADDING = 4, 6
IUPAC = "ACGTRYKMSWBDHVN"


class DnaConvConfig(PreTrainedConfig):
    """depth: number of blocks, which cycle through the dilations.

    head_hidden: width of the hidden layer in a classifier's head; None: no such layer.
    both_strands: a classifier reads the mean features of a sequence and its reverse complement.
    """

    model_type = "r2mae_dna_conv"

    def __init__(
        self,
        width: int = 128,
        depth: int = 12,
        kernel: int = 9,
        dilations: tuple[int, ...] = (1,),
        head_hidden: int | None = None,
        head_dropout: float = 0.0,
        both_strands: bool = False,
        **options: Any,
    ) -> None:
        self.width, self.depth, self.kernel = width, depth, kernel
        self.dilations = list(dilations)
        self.head_hidden, self.head_dropout = head_hidden, head_dropout
        self.both_strands = both_strands
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


class DnaConvPreTrainedModel(PreTrainedModel):
    """`encode` makes the input of sequences."""

    config_class = DnaConvConfig

    @staticmethod
    def encode(sequences: list[str]) -> Tensor:
        """(B, N) int64: A C G T = 0 to 3, other IUPAC letters = 4, padding at the end = 6.

        Raises: ValueError unless given a list of sequences of IUPAC letters, none of them empty.
        """
        if isinstance(sequences, str) or not sequences or not all(sequences):
            raise ValueError(
                f"sequences must be a list of texts, none empty, got {sequences!r:.40}."
            )
        longest = max(map(len, sequences))
        codes = torch.full((len(sequences), longest), PADDING)
        for row, sequence in zip(codes, sequences, strict=True):
            letters = sequence.upper().replace("U", "T")
            if others := set(letters) - set(IUPAC):
                raise ValueError(
                    f"sequences must hold IUPAC letters, got {min(others)!r} in {sequence!r:.40}."
                )
            numbers = ["ACGT".find(letter) % 5 for letter in letters]  # -1 becomes 4
            row[: len(numbers)] = torch.tensor(numbers)
        return codes


class DnaConvModel(DnaConvPreTrainedModel):
    """Bases -> features."""

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


class DnaConvForSequenceClassification(DnaConvPreTrainedModel):
    """Bases -> logits of classes or labels, or a predicted number."""

    base_model_prefix = "backbone"

    def __init__(self, config: DnaConvConfig) -> None:
        super().__init__(config)
        self.backbone = DnaConvModel(config)
        layers: list[nn.Module] = [nn.Dropout(config.head_dropout)]
        if config.head_hidden is not None:
            layers += [nn.Linear(config.width, config.head_hidden), nn.GELU()]
        last = nn.Linear(config.head_hidden or config.width, config.num_labels)
        self.head = nn.Sequential(*layers, last)
        self.post_init()

    def forward(
        self, bases: Tensor, labels: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """bases (B, N) -> logits (B, C), and a loss where there are labels.

        labels: (B,) classes or numbers; (B, C) of 0 and 1 where a sequence has several labels.
        """
        features = self.backbone(bases).pooler_output
        if self.config.both_strands:
            other = self.backbone(reverse_complement(bases)).pooler_output
            features = (features + other) / 2
        logits = self.head(features)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, config=self.config
            )
        return SequenceClassifierOutput(loss=loss, logits=logits)


def reverse_complement(bases: Tensor) -> Tensor:
    """(B, N) the other strands; padding stays at the end."""
    complements = torch.where(bases < NUM_BASES, NUM_BASES - 1 - bases, bases)
    lengths = (bases != PADDING).sum(dim=1, keepdim=True)
    places = torch.arange(bases.shape[1], device=bases.device)
    # Negative places, of padding, become those of the padding at the end.
    return complements.gather(1, (lengths - 1 - places) % bases.shape[1])


DnaConvConfig.register_for_auto_class()
DnaConvModel.register_for_auto_class("AutoModel")
DnaConvForSequenceClassification.register_for_auto_class(
    "AutoModelForSequenceClassification"
)
