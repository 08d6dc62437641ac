"""Texts' recipe sections."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.law import UniformRatio
from r2mae.schema.mask import MaskSection, Ratio
from r2mae.schema.section import Section

HUGE_LENGTH = 1 << 20


class TokenizerTraining(Section):
    """A tokenizer of the training texts themselves, made once and kept.

    kind: byte-level BPE, or WordPiece.
    """

    kind: Literal["bpe", "wordpiece"] = "bpe"
    vocab_size: int = Field(default=8192, ge=300, le=1 << 22)


class LanguageData(Section):
    """Texts of a card, or at root: a store, or files or globs of .txt, .jsonl, .csv, .tsv, .parquet.

    column: of tables, that holds the texts.
    document: what of a plain text file is one document; a row of a table always is.
    tokenizer: a folder or hub id, or a run's folder; or one to train. A store has its own.
    length: tokens of a row. Documents follow each other without padding; a row may hold parts of several.
    attend: tokens see those of their document, or of the whole row.
    """

    card: str = "text_files"
    root: str | None = None
    column: str = "text"
    document: Literal["file", "paragraph", "line"] = "file"
    tokenizer: str | TokenizerTraining | None = None
    length: int = Field(default=256, ge=8, le=HUGE_LENGTH)
    attend: Literal["document", "row"] = "document"
    held_out: float = Field(default=0.05, gt=0, lt=1)


class SentenceData(Section):
    """Labelled sentences, or pairs of them, of a card or at root: .csv, .tsv, .jsonl or .parquet.

    columns: one or two, that hold the texts. length: tokens; longer texts are cut, the longer of a pair first.
    """

    card: str = "text_files"
    root: str | None = None
    columns: tuple[str, ...] = Field(default=("sentence",), min_length=1, max_length=2)
    label_column: str | None = None
    tokenizer: str | None = None
    length: int = Field(default=128, ge=8, le=HUGE_LENGTH)
    held_out: float = Field(default=0.05, gt=0, lt=1)


class LanguageMask(MaskSection):
    """Which tokens are hidden, and what stands in their places.

    pattern: "random" tokens, whole "word"s, or "span"s of mean length 3.
    replacement: shares of hidden tokens that become [MASK], and another token; the rest stay as they are.
    """

    ratio: Ratio = Field(default_factory=lambda: UniformRatio(0.15, 0.4))  # type: ignore[assignment]
    pattern: Literal["random", "word", "span"] = "random"  # type: ignore[assignment]
    replacement: tuple[float, float] = (0.8, 0.1)

    @model_validator(mode="after")
    def _check(self) -> "LanguageMask":
        if min(self.replacement) < 0 or sum(self.replacement) > 1 + 1e-9 or self.replacement[0] == 0:
            raise ValueError(f"replacement must be two shares of sum 1 at most, got {list(self.replacement)}.")
        return self


class LanguageEncoder(Section):
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
    init_from: str | None = None
    pooling: Literal["mean", "cls"] = "mean"

    @model_validator(mode="after")
    def _check(self) -> "LanguageEncoder":
        if self.width is not None and self.heads is not None and self.width % self.heads:
            raise ValueError(f"width must be divisible by heads = {self.heads}, got {self.width}.")
        return self


class LanguageModel(LanguageEncoder):
    """A masked language model."""


class LanguageClassifier(LanguageEncoder):
    """A language encoder under a classifier's head. `init_from: null` trains it from scratch."""
