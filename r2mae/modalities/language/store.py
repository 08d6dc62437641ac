"""A store of tokenised text: one flat array of tokens, where documents start in it, and the tokenizer.

meta.json       format, tokens, documents, bytes a token, fingerprints of the store and of the tokenizer
tokens.bin      (T,) uint16 or uint32: [CLS] document [SEP] [CLS] document [SEP] ...
documents.bin   (D,) int64, where documents start
tokenizer/      as transformers saves it
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import MappedStore
from r2mae.errors import InputError

META, TOKENS, DOCUMENTS, TOKENIZER = (
    "meta.json",
    "tokens.bin",
    "documents.bin",
    "tokenizer",
)
FORMAT = "r2mae text store 2"


class TextStore(MappedStore):
    """A finished store, mapped. Its fingerprint is of texts, tokenizer and options."""

    @cached_property
    def tokens(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """(T,) token ids."""
        return np.memmap(
            self.place / TOKENS,
            dtype=self.meta["dtype"],
            mode="r",
            shape=(self.meta["tokens"],),
        )

    @cached_property
    def documents(self) -> npt.NDArray[np.int64]:
        """(D,) where documents start."""
        return np.memmap(
            self.place / DOCUMENTS,
            dtype=np.int64,
            mode="r",
            shape=(self.meta["documents"],),
        )

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that made the tokens. Raises: InputError for another one."""
        from r2mae.data.tokenizer import load_tokenizer, tokenizer_fingerprint

        tokenizer = load_tokenizer(str(self.place / TOKENIZER))
        if tokenizer_fingerprint(tokenizer) != self.meta.get("tokenizer"):
            raise InputError(
                f"{self.place / TOKENIZER} must be what made the tokens, got another. Build it again."
            )
        return tokenizer


def is_text_store(place: Path) -> bool:
    """Whether a folder says that it is a finished store of text."""
    return (place / META).is_file() and (place / TOKENS).is_file()


def open_text_store(place: Path) -> TextStore:
    """Map a store. Raises: InputError for one that is damaged or of another kind."""
    try:
        meta = json.loads((place / META).read_text())
        is_current = meta["format"] == FORMAT
        sizes = {
            TOKENS: meta["tokens"] * np.dtype(meta["dtype"]).itemsize,
            DOCUMENTS: meta["documents"] * 8,
        }
        counts = [meta[name] for name in ("tokens", "documents", "vocab_size")]
        if not all(
            isinstance(count, int) and count > 0 for count in counts
        ) or not isinstance(meta["fingerprint"], str):
            raise ValueError
        if meta["dtype"] not in ("uint16", "uint32"):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{place} must be a store of text, got no readable {META}. Build it again."
        ) from None
    if not is_current:
        raise InputError(
            f"{place / META} must say {FORMAT!r}, got {meta['format']!r}. Build it again."
        )
    for name, size in sizes.items():
        held = (place / name).stat().st_size if (place / name).is_file() else 0
        if held != size:
            raise InputError(
                f"{place / name} must have {size:,} bytes, got {held:,}. Build it again."
            )
    return TextStore(place, meta)
