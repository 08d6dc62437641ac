"""Tokenise texts into a store: on all cores, in constant memory, resumed after interruptions.

Tokens are appended in the order of the texts. After each batch `journal.json` records the
progress, and anything written after it is cut off on resuming. The folder is renamed to its final
name when complete.
"""

import json
import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from r2mae.data.atomic import atomic_folder
from r2mae.data.bad_rows import BadRows
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.journal import Journal
from r2mae.data.lock import one_at_a_time
from r2mae.data.text_files import Piece, read_pieces, read_rows
from r2mae.data.tokenizer import borders, save_tokenizer, tokenizer_fingerprint
from r2mae.errors import InputError
from r2mae.modalities.language.store import (
    DOCUMENTS,
    FORMAT,
    META,
    TOKENIZER,
    TOKENS,
    TextStore,
    is_text_store,
    open_text_store,
)
from r2mae.modalities.language.tokenise import BATCH_CHARACTERS
from r2mae.progress import Progress, silent

_READER = 3  # changes when files are read differently, so that caches are built again
_MANY_UNKNOWN = 0.01  # share of tokens from which on building warns


class Texts(NamedTuple):
    """The texts of a store: files, or rows of a Hugging Face hub data set.

    column: of tables, with the texts. document: what of a plain text file is one document.
    options: of the reader, such as encoding. hub: (name, rows) instead of paths.
    bad_rows: skips or rejects rows of tables without text.
    """

    paths: list[Path]
    column: str = "text"
    document: str = "file"
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    hub: Any = None  # (name, rows)
    bad_rows: BadRows = BadRows()

    def pieces(self, start: tuple[int, int] = (0, 0)) -> Iterator[Piece]:
        """Pieces of all documents, from start, a (file, place in it), on."""
        if self.hub is not None:
            name, rows = self.hub
            return read_rows(rows, name, self.column, self.bad_rows, 0, start[1])
        return read_pieces(
            self.paths,
            self.column,
            self.document,
            self.options,
            start,
            self.bad_rows,
        )

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the options and the files' names and contents; folders do not count."""
        parts: list[Any] = [_READER, self.column, self.document]
        parts.append(sorted(self.options.items()))
        if self.hub is not None:
            parts += [self.hub[0], self.hub[1]._fingerprint]
        parts += [_fingerprint(path, path.stat().st_mtime_ns) for path in self.paths]
        return fingerprint_bytes(repr(parts))


@lru_cache(maxsize=1 << 16)
def _fingerprint(path: Path, modified: int) -> str:  # noqa: ARG001 - part of the cache's key
    return fingerprint_files(path.parent, [path])


def build_text_store(
    out: Path, texts: Texts, tokenizer: Any, progress: Progress = silent
) -> TextStore:
    """Build or resume the store of these texts and this tokenizer, or open it if complete.

    Raises: InputError for damaged texts, texts without a token, or a folder with other contents.
    """
    with one_at_a_time(out):
        return _build(out, texts, tokenizer, progress)


def _build(out: Path, texts: Texts, tokenizer: Any, progress: Progress) -> TextStore:
    fingerprint = fingerprint_bytes(
        f"{texts.fingerprint}{tokenizer_fingerprint(tokenizer)}"
    )
    if is_text_store(out):
        store = open_text_store(out)
        if store.fingerprint != fingerprint:
            raise InputError(
                f"{out} must be absent or of the same texts and tokenizer, got another store. Name another folder."
            )
        return store
    with atomic_folder(out, fingerprint) as work:
        _write(work, texts, tokenizer, fingerprint, progress)
    return open_text_store(out)


def _write(
    work: Path, texts: Texts, tokenizer: Any, fingerprint: str, progress: Progress
) -> None:
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
    state = _fill(work, texts, tokenizer, dtype, progress)
    if not state["documents"]:
        raise InputError("data must hold text, got empty files.")
    _check_unknown(state, tokenizer)
    save_tokenizer(tokenizer, work / TOKENIZER)
    about = {
        "format": FORMAT,
        "tokens": state["tokens"],
        "documents": state["documents"],
        "unknown_tokens": state["unknown_tokens"],
        "skipped_rows": state["skipped_rows"],
        "dtype": dtype.name,
        "vocab_size": len(tokenizer),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "fingerprint": fingerprint,
        "files": [path.name for path in texts.paths],
    }
    (work / META).write_text(json.dumps(about, indent=1) + "\n")
    Journal(work).delete()


def _check_unknown(state: dict[str, int], tokenizer: Any) -> None:
    """Warn of many unknown tokens. Raises: InputError if all tokens are unknown."""
    unknown = state["unknown_tokens"]
    ordinary = state["tokens"] - 2 * state["documents"]
    share = unknown / max(1, ordinary)
    fact = (
        f"{100 * share:.3g} % of tokens unknown to the tokenizer "
        f"({tokenizer.unk_token}), which are never masked"
    )
    if unknown and unknown == ordinary:
        raise InputError(
            f"data must hold text that the tokenizer has tokens for, got {fact}. "
            "Choose or train another tokenizer."
        )
    if share > _MANY_UNKNOWN:
        remedy = (
            "Choose or train a tokenizer for these texts; bpe has no unknown tokens"
        )
        warnings.warn(f"the texts have {fact}. {remedy}.", stacklevel=2)


def _batch(pieces: Iterator[Piece]) -> list[Piece]:
    """The next pieces, of about BATCH_CHARACTERS; empty at the end."""
    batch, size = [], 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.text) + 100  # so that many empty pieces end a batch too
        if size > BATCH_CHARACTERS:
            break
    return batch


def _fill(
    work: Path, texts: Texts, tokenizer: Any, dtype: Any, progress: Progress
) -> dict[str, int]:
    """Tokenise from where the journal stopped; gives the final state."""
    journal = Journal(work)
    counts = ("tokens", "documents", "unknown_tokens", "skipped_rows")
    start = dict.fromkeys(("file", "at", *counts), 0)
    state = start | (journal.read() or {})
    skipped_before = state["skipped_rows"]
    with (
        (work / TOKENS).open("ab") as tokens,
        (work / DOCUMENTS).open("ab") as documents,
    ):
        tokens.truncate(state["tokens"] * dtype.itemsize)
        documents.truncate(state["documents"] * 8)
        pieces = texts.pieces((state["file"], state["at"]))
        while batch := _batch(pieces):
            ids, starts = _tokenise(batch, tokenizer, state["tokens"], dtype)
            tokens.write(ids.tobytes())
            documents.write(starts.tobytes())
            for file in (tokens, documents):
                file.flush()
                os.fsync(file.fileno())
            state["tokens"] += len(ids)
            state["documents"] += len(starts)
            state["unknown_tokens"] += int((ids == tokenizer.unk_token_id).sum())
            state["skipped_rows"] = skipped_before + len(texts.bad_rows.numbers)
            if batch[-1].at is not None:
                state |= {"file": batch[-1].file, "at": batch[-1].at}
                journal.write(state)
                _report(texts, state, progress)
    return state


def _tokenise(
    batch: list[Piece], tokenizer: Any, offset: int, dtype: Any
) -> tuple[Any, Any]:
    """(ids (T,), starts of documents (D,) int64) of pieces that follow `offset` tokens."""
    first, last = borders(tokenizer) or (0, 0)
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    encodings = encode([piece.text for piece in batch], add_special_tokens=False)
    parts: list[Any] = []
    starts: list[int] = []
    for piece, encoding in zip(batch, encodings, strict=True):
        ids = encoding.ids
        if piece.is_start:
            starts.append(offset)
            ids = [first, *ids]
        if piece.is_end:
            ids = [*ids, last]
        parts.append(np.asarray(ids, dtype=dtype))
        offset += len(ids)
    return np.concatenate(parts), np.asarray(starts, dtype=np.int64)


def _report(texts: Texts, state: dict[str, int], progress: Progress) -> None:
    """Call progress with the bytes of files, or rows of a hub data set, that are tokenised."""
    sizes = [path.stat().st_size for path in texts.paths]
    if sizes:
        done = sum(sizes[: state["file"]]) + state["at"]
        progress("bytes tokenised", done, sum(sizes))
    else:
        progress("rows tokenised", state["at"], len(texts.hub[1]))
