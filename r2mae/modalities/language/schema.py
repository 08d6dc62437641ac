"""Recipe sections of texts."""

from typing import Literal

from pydantic import Field

from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe, PretrainWatchSection
from r2mae.schema.recipe import DataSection
from r2mae.schema.section import Section
from r2mae.schema.tokens import HUGE_LENGTH, TokenMask, TransformerEncoder


class TokenizerTraining(Section):
    """A tokenizer of the training texts themselves, made once and kept.

    kind: byte-level BPE, or WordPiece.
    vocab_size: number of tokens.
    """

    kind: Literal["bpe", "wordpiece"] = "bpe"
    vocab_size: int = Field(default=8192, ge=300, le=1 << 22)


class LanguageData(DataSection):
    """Texts of a card, or at root: a store, or a file, a folder or a glob.

    Files are .txt, .jsonl, .csv, .tsv, .parquet or .arrow, also with .gz or .zst.

    card: name of a data card, or path of one; text_files is for texts of your own.
    root: place of the data, instead of the card's.
    column: of tables, that holds the texts; "a.b" is the entry b of objects in column a.
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


class SentenceData(DataSection):
    """Labelled sentences, or pairs of them, of a card or at root: tables as for LanguageData.

    card: name of a data card, or path of one; text_files is for texts of your own.
    root: folder of the data, instead of the card's.
    columns: the one or two with the texts.
    tokenizer: a folder or hub id, or a run's folder; null for that of model.init_from.
    label_column: of classes or numbers; for tune.target multi_label, also several of 0 and 1.
    tag_names: for tune.target token_tags, the tags that numbers in a table stand for.
    length: tokens; longer texts are cut, the longer of a pair first.
    stride: for tune.target answer_span, tokens that consecutive windows of a long context share;
        null for a third of length.
    more_tests: further splits of the card that finished runs are tested on.
    """

    card: str = "text_files"
    root: str | None = None
    columns: tuple[str, ...] = Field(default=("sentence",), min_length=1, max_length=2)
    label_column: str | tuple[str, ...] | None = None
    tag_names: tuple[str, ...] = ()
    tokenizer: str | None = None
    length: int = Field(default=128, ge=8, le=HUGE_LENGTH)
    stride: int | None = Field(default=None, ge=0, le=HUGE_LENGTH)
    more_tests: tuple[str, ...] = Field(default=(), max_length=8)


class LanguageModel(TransformerEncoder):
    """A masked language model."""


class LanguageClassifier(TransformerEncoder):
    """A language encoder under a classifier's head. `init_from: null` trains it from scratch."""


class LanguageWatch(PretrainWatchSection):
    """Texts are measured at the ratios that are usual for them."""

    ratios: tuple[float, ...] = Field(
        default=(0.15, 0.3, 0.5), min_length=1, max_length=16
    )


class LanguagePretrainRecipe(PretrainRecipe[LanguageData, LanguageModel]):
    """Texts hide tokens: patterns of their own, and a law by default."""

    mask: TokenMask = TokenMask()
    watch: LanguageWatch = LanguageWatch()


LanguageFinetuneRecipe = FinetuneRecipe[SentenceData, LanguageClassifier]
