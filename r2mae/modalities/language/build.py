"""Texts -> a store of tokens: once, on all cores, in constant memory, continued by the same call where it was stopped.

Tokens are appended in the order of the texts; after each batch `journal.json` says how far it came, and what a stop
left behind is cut off. The folder gets its name when it is whole.
"""

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from r2mae.data.building import building, one_at_a_time
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.text_files import Piece, read_hub, read_pieces
from r2mae.data.tokenizer import borders, tokenizer_word
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
from r2mae.progress import Progress, silent

_JOURNAL = "journal.json"
_TOGETHER = 1 << 22  # characters that are tokenised together, on all cores


class Texts(NamedTuple):
    """What a store is made of: files, or rows of a hub data set."""

    paths: list[Path]
    column: str = "text"
    document: str = "file"
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    hub: Any = None  # (name, rows)

    def pieces(self, start: tuple[int, int] = (0, 0)) -> Iterator[Piece]:
        """All documents, from where an earlier reading stopped."""
        if self.hub is not None:
            return read_hub(self.hub[1], self.hub[0], self.column, start[1])
        return read_pieces(self.paths, self.column, self.document, self.options, start)

    @property
    def word(self) -> str:
        """16 hex digits that change when a file's name or content, or an option does; wherever the files are."""
        known: list[Any] = [self.column, self.document, sorted(self.options.items())]
        if self.hub is not None:
            known += [self.hub[0], self.hub[1]._fingerprint]
        known += [_known(path, path.stat().st_mtime_ns) for path in self.paths]
        return fingerprint_bytes(repr(known))


@lru_cache(maxsize=1 << 16)
def _known(path: Path, changed: int) -> str:  # noqa: ARG001 - asked again when the file changes
    return fingerprint_files(path.parent, [path])


def build_text_store(
    out: Path, texts: Texts, tokenizer: Any, progress: Progress = silent
) -> TextStore:
    """Build, go on with, or open the finished store of these texts and this tokenizer.

    Raises: InputError for damaged texts, texts without a token, and a folder that holds something else.
    """
    with one_at_a_time(out):
        return _build(out, texts, tokenizer, progress)


def _build(out: Path, texts: Texts, tokenizer: Any, progress: Progress) -> TextStore:
    fingerprint = fingerprint_bytes(f"{texts.word}{tokenizer_word(tokenizer)}")
    if is_text_store(out):
        store = open_text_store(out)
        if store.fingerprint != fingerprint:
            raise InputError(
                f"{out} must be absent or of the same texts and tokenizer, got another store. Name another."
            )
        return store
    with building(out, fingerprint) as work:
        _write(work, texts, tokenizer, fingerprint, progress)
    return open_text_store(out)


def _write(
    work: Path, texts: Texts, tokenizer: Any, fingerprint: str, progress: Progress
) -> None:
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32)
    state = _fill(work, texts, tokenizer, dtype, progress)
    if not state["documents"]:
        raise InputError("data must hold text, got files without a word.")
    tokenizer.save_pretrained(work / TOKENIZER)
    about = {
        "format": FORMAT,
        "tokens": state["tokens"],
        "documents": state["documents"],
        "dtype": dtype.name,
    }
    about |= {
        "vocab_size": len(tokenizer),
        "tokenizer": tokenizer_word(tokenizer),
        "fingerprint": fingerprint,
        "files": [path.name for path in texts.paths],
    }
    (work / META).write_text(json.dumps(about, indent=1) + "\n")
    (work / _JOURNAL).unlink()


def _batch(pieces: Iterator[Piece]) -> list[Piece]:
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece.text) + 100
        if size > _TOGETHER:
            break
    return found


def _fill(
    work: Path, texts: Texts, tokenizer: Any, dtype: Any, progress: Progress
) -> dict[str, int]:
    """Tokenise from where the journal stopped; gives the last state."""
    journal = work / _JOURNAL
    state = {"file": 0, "at": 0, "tokens": 0, "documents": 0, "done": 0}
    if journal.is_file():
        state = json.loads(journal.read_text())
    sizes = [path.stat().st_size for path in texts.paths]
    first, last = borders(tokenizer) or (0, 0)
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    with (
        (work / TOKENS).open("ab") as tokens,
        (work / DOCUMENTS).open("ab") as documents,
    ):
        tokens.truncate(state["tokens"] * dtype.itemsize)
        documents.truncate(state["documents"] * 8)
        pieces = texts.pieces((state["file"], state["at"]))
        while batch := _batch(pieces):
            parts: list[Any] = []
            starts: list[int] = []
            here = state["tokens"]
            for piece, encoded in zip(
                batch,
                encode([p.text for p in batch], add_special_tokens=False),
                strict=True,
            ):
                ids = encoded.ids
                if piece.is_start:
                    starts.append(here)
                    ids = [first, *ids]
                if piece.is_end:
                    ids = [*ids, last]
                parts.append(np.asarray(ids, dtype=dtype))
                here += len(ids)
            tokens.write(np.concatenate(parts).tobytes())
            documents.write(np.asarray(starts, dtype=np.int64).tobytes())
            for file in (tokens, documents):
                file.flush()
                os.fsync(file.fileno())
            state |= {"file": batch[-1].file, "at": batch[-1].at, "tokens": here}
            state["documents"] += len(starts)
            state["done"] += len(batch)
            unfinished = journal.with_suffix(".new")
            unfinished.write_text(json.dumps(state))
            unfinished.replace(journal)
            done = sum(sizes[: state["file"]]) + state["at"]
            if sizes:
                progress("bytes tokenised", done, sum(sizes))
            else:
                progress("rows tokenised", state["at"], len(texts.hub[1]))
    return state
