"""Tokenizers: found in a folder, on the hub or in a run, or trained; and what a model has to know of one."""

import json
import shutil
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_folder
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.hub import check_source
from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError, first_line

SPECIAL = {
    "pad": "[PAD]",
    "unk": "[UNK]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
}
BYTES = "bytes"  # the name of `byte_tokenizer`
_BYTE_SPACES = (
    "ĠĊĉč"  # byte-level BPE writes space, newline, tab and carriage return so
)


@lru_cache(maxsize=8)
def load_tokenizer(source: str) -> Any:
    """A fast tokenizer of transformers, from a folder or hub id.

    Raises: InputError when it cannot be read, is no fast one, or lacks mask, pad or border tokens.
    """
    from transformers import AutoTokenizer

    check_source(source, "data.tokenizer")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:
        raise InputError(
            f"data.tokenizer must be a tokenizer's folder or hub id, got {source!r}: {first_line(error)}."
        ) from None
    check_tokenizer(tokenizer, source)
    # A saved tokenizer may cut or pad all that it is given.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def check_tokenizer(tokenizer: Any, source: str) -> None:
    """Raise InputError unless it is fast and has the special tokens of a masked language model."""
    if not tokenizer.is_fast:
        raise InputError(
            f"data.tokenizer must be a fast one (tokenizer.json), got {source!r}, which is slow."
        )
    for name in ("mask_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            raise InputError(
                f"data.tokenizer must have a {name.replace('_', ' ')}, got {source!r} without one."
            )
    if borders(tokenizer) is None:
        raise InputError(
            f"data.tokenizer must have cls and sep, or bos and eos tokens, got {source!r} without them."
        )


def borders(tokenizer: Any) -> tuple[int, int] | None:
    """(first, last) token of a document."""
    first = (
        tokenizer.cls_token_id
        if tokenizer.cls_token_id is not None
        else tokenizer.bos_token_id
    )
    last = (
        tokenizer.sep_token_id
        if tokenizer.sep_token_id is not None
        else tokenizer.eos_token_id
    )
    return None if first is None or last is None else (first, last)


@lru_cache(maxsize=1)
def byte_tokenizer() -> Any:
    """A token a byte: what stands in while a run that brings the tokenizer is not there yet."""
    return train_tokenizer((), "bpe", 300)


def train_tokenizer(texts: Iterable[str], kind: str, vocab_size: int) -> Any:
    """Byte-level BPE or WordPiece of texts, as transformers' fast tokenizer with BERT's special tokens.

    The same texts give the same tokens with the same numbers. All texts are held in memory.

    Raises: InputError when texts hold nothing.
    """
    train = _train_bpe if kind == "bpe" else _train_wordpiece
    tokenizer = train(list(texts), vocab_size)
    if tokenizer.get_vocab_size() <= len(SPECIAL):
        raise InputError("a tokenizer must be trained on texts with words, got none.")
    return as_fast_tokenizer(tokenizer)


def as_fast_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer of tokenizers as transformers' fast tokenizer with `SPECIAL` tokens.

    tokenizer: has the special tokens in its vocabulary; encodes texts as BERT does.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    borders = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=borders,
    )
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, clean_up_tokenization_spaces=False
    )


def _train_bpe(texts: list[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _train_wordpiece(texts: list[str], vocab_size: int) -> Any:
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    def build(model: Any) -> Any:
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer

    trained = build(models.WordPiece(unk_token=SPECIAL["unk"]))
    # Letters are listed first: a random hash would number them, and break ties.
    alphabet = _inner_letters(trained, texts)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL.values(), *alphabet],
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    # Without the letters as special tokens, which would be matched inside words.
    return build(models.WordPiece(trained.get_vocab(), unk_token=SPECIAL["unk"]))


def _inner_letters(tokenizer: Any, texts: list[str]) -> list[str]:
    """ "##" and each letter that follows another in a word, sorted."""
    pairs: set[tuple[str, str]] = set()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        pairs.update(pairwise(normal))
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    letters = set()
    for first, second in pairs:
        tokens = split(first + second)
        if len(tokens) == 1 and tokens[0][0] == first + second:  # within a word
            letters.add(f"##{second}")
    return sorted(letters)


def is_continuation(tokenizer: Any) -> npt.NDArray[np.bool_]:
    """(V,) which tokens go on with the word before them: for whole-word masks."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_ids)
    pieces = (
        json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"] == "WordPiece"
    )
    continues = [
        token.startswith("##")
        if pieces
        else bool(token) and token[0].isalnum() and token[0] not in _BYTE_SPACES
        for token in tokens
    ]
    return np.array(
        [flag and number not in special for number, flag in enumerate(continues)]
    )


def tokenizer_files(tokenizer: Any) -> dict[str, str]:
    """The files of a tokenizer, by name, as `with_files` takes them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text() for path in sorted(Path(folder).iterdir())}


def with_files(files: dict[str, str], folder: Path) -> Path:
    """Write a tokenizer's files to a folder below `folder`, named by their content.

    Returns: that folder. Where it is damaged, it is written again.
    """
    digest = fingerprint_bytes(json.dumps(files, sort_keys=True))
    place = folder / f"tokenizer_{digest}"
    if _holds(place, files):
        return place
    with one_at_a_time(place):
        if not _holds(place, files):
            shutil.rmtree(place, ignore_errors=True)
            with atomic_folder(place) as unfinished:
                for name, text in files.items():
                    (unfinished / Path(name).name).write_text(text)
    return place


def _holds(folder: Path, files: dict[str, str]) -> bool:
    """Whether a folder holds files of these names and contents."""
    encoded = {folder / Path(name).name: text.encode() for name, text in files.items()}
    return all(
        path.is_file() and path.read_bytes() == text for path, text in encoded.items()
    )


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """16 hex digits that change when a tokenizer does."""
    return fingerprint_bytes(tokenizer.backend_tokenizer.to_str())
