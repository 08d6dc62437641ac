"""Sections that models over tokens share: what is hidden of a sequence, and a transformer's shape."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.law import UniformRatio
from r2mae.schema.mask import MaskSection, Ratio
from r2mae.schema.recipe import ModelSection

HUGE_LENGTH = 1 << 20


class TokenMask(MaskSection):
    """Which tokens are hidden, and what stands in their places.

    pattern: "random" tokens, whole "word"s, or "span"s of mean length 3.
    replacement: shares of hidden tokens that become [MASK], and another token; the rest stay as they are.
    """

    ratio: Ratio = Field(default_factory=lambda: UniformRatio(0.15, 0.4))  # type: ignore[assignment]
    pattern: Literal["random", "word", "span"] = "random"  # type: ignore[assignment]
    replacement: tuple[float, float] = (0.8, 0.1)

    @model_validator(mode="after")
    def _check(self) -> "TokenMask":
        if (
            min(self.replacement) < 0
            or sum(self.replacement) > 1 + 1e-9
            or self.replacement[0] == 0
        ):
            raise ValueError(
                f"replacement must be two shares of sum 1 at most, got {list(self.replacement)}."
            )
        return self


class TransformerEncoder(ModelSection):
    """A transformer as transformers configures it.

    encoder, width, depth, heads, hidden (of the MLP), dropout: null leaves them to transformers' own defaults, or to
        what `init_from` has.
    config: other entries of transformers' configuration.
    init_from: a run, or the folder or hub id of a masked language model of transformers.
    pooling: how tokens become a text's features.
    """

    encoder: Literal["modernbert", "bert", "roberta"] = "modernbert"
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
