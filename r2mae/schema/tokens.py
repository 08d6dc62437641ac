"""Sections for models of token sequences: the mask, and the size of a transformer."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.law import UniformRatio
from r2mae.schema.mask import MaskSection, Ratio
from r2mae.schema.recipe import ModelSection

HUGE_LENGTH = 1 << 20


class TokenMask(MaskSection):
    """`mask` of token sequences: which tokens are masked, and by what they are replaced.

    ratio: as in `MaskSection`; default uniform on [0.15, 0.4], from BERT's ratio upwards.
    pattern: "random" tokens, whole "word"s, or "span"s of mean length 3 tokens.
    replacement: shares of masked tokens that become [MASK] and that become a random
        token; the rest are unchanged. The default is BERT's.
    Other keys as in `MaskSection`.
    """

    ratio: Ratio = Field(default_factory=lambda: UniformRatio(0.15, 0.4))  # type: ignore[assignment]
    pattern: Literal["random", "word", "span"] = "random"  # type: ignore[assignment]
    replacement: tuple[float, float] = (0.8, 0.1)

    @model_validator(mode="after")
    def _check(self) -> "TokenMask":
        shares = self.replacement
        is_share = min(shares) >= 0 and sum(shares) <= 1 + 1e-9
        if not is_share or shares[0] == 0:
            raise ValueError(
                "replacement must be two shares with a sum of at most 1, the first "
                f"above 0, got {list(shares)}."
            )
        return self


class TransformerEncoder(ModelSection):
    """A transformer encoder of the transformers library.

    null leaves a size to the default of transformers, or to the model of init_from.

    encoder: architecture; default that of init_from, else modernbert.
    width: embedding dimension, a multiple of heads.
    depth: number of layers.
    heads: attention heads per layer.
    hidden: width of the MLP's hidden layer.
    dropout: probability of dropout, in [0, 1).
    config: other entries of the transformers configuration.
    init_from: pretrained weights: a run, or the folder or hub id of a masked language
        model of transformers. null for random weights.
    pooling: features of a sequence: "mean" over its tokens, or its "cls" token.
    """

    encoder: Literal["modernbert", "bert", "roberta", "esm"] | None = None
    width: int | None = Field(default=None, ge=8, le=1 << 16)
    depth: int | None = Field(default=None, ge=1, le=256)
    heads: int | None = Field(default=None, ge=1, le=512)
    hidden: int | None = Field(default=None, ge=8, le=1 << 18)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    config: dict[str, Any] = Field(default_factory=dict)
    pooling: Literal["mean", "cls"] = "mean"

    @model_validator(mode="after")
    def _check(self) -> "TransformerEncoder":
        if (
            self.width is not None
            and self.heads is not None
            and self.width % self.heads
        ):
            raise ValueError(
                f"width must be divisible by heads = {self.heads}, got {self.width}."
            )
        return self
