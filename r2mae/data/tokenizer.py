"""Tokenizers: load, check and save them; the token ids that a model needs."""

import copy
import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_folder
from r2mae.data.esm_tokenizer import as_fast
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.hub import check_source
from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError, first_line

_BYTE_SPACES = (
    "ĠĊĉč"  # byte-level BPE writes space, newline, tab and carriage return so
)


@lru_cache(maxsize=8)
def load_tokenizer(
    source: str, *, needs_last: bool = True, key: str = "data.tokenizer"
) -> Any:
    """A fast tokenizer of transformers, from a folder or hub id.

    needs_last: whether a token must end a document (sep or eos).
    key: of the recipe, or option, that names it.

    Raises: InputError when it cannot be read, is no fast one, or lacks a vocabulary or mask,
        pad or border tokens.
    """
    from transformers import AutoTokenizer

    check_source(source, key)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:
        raise InputError(
            f"{key} must be a tokenizer's folder or hub id, got {source!r}: {first_line(error)}."
        ) from None
    if type(tokenizer).__name__ == "EsmTokenizer":
        tokenizer = as_fast(tokenizer)
    check_tokenizer(tokenizer, source, needs_last, key)
    # A saved tokenizer may cut or pad all that it is given.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def check_tokenizer(tokenizer: Any, source: str, needs_last: bool, key: str) -> None:
    """Raise InputError unless it is fast and has the special tokens of a masked language model."""
    if not tokenizer.is_fast:
        raise InputError(
            f"{key} must be a fast one (tokenizer.json), got {source!r}, which is slow."
        )
    # transformers makes up a tokenizer for a model's folder without one.
    if not {*tokenizer.get_vocab()} - {*tokenizer.all_special_tokens}:
        raise InputError(
            f"{key} must have a vocabulary, got {source!r} with special tokens alone. "
            "Add tokenizer.json or vocab.txt."
        )
    for name in ("mask_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            raise InputError(
                f"{key} must have a {name.replace('_', ' ')}, got {source!r} without one. "
                "A tokenizer.json alone does not say which token it is: save it by "
                f"PreTrainedTokenizerFast(tokenizer_file=..., {name}=...).save_pretrained."
            )
    first, last = ends(tokenizer)
    if first is None or (needs_last and last is None):
        raise InputError(
            f"{key} must have cls and sep, or bos and eos tokens, got {source!r} without them."
        )


def borders(tokenizer: Any) -> tuple[int, int] | None:
    """(first, last) token of a document; None where one is missing."""
    first, last = ends(tokenizer)
    return None if first is None or last is None else (first, last)


def ends(tokenizer: Any) -> tuple[int | None, int | None]:
    """(first, last) token of a document, each None where there is none."""
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
    return first, last


def strip_before_mask(tokenizer: Any) -> Any:
    """A tokenizer whose mask token includes the space before it, as words do.

    In byte-level BPE and Unigram a word's first token includes the space before the
    word. Without `lstrip`, "a [MASK]" has a token for that space alone, which training
    on plain text never shows to a model.

    Returns: the tokenizer itself where its words do not include spaces.
    """
    from tokenizers import AddedToken

    encode = tokenizer.backend_tokenizer.encode
    mask = tokenizer.mask_token
    before = encode("a", add_special_tokens=False).tokens
    tokens = encode(f"a {mask}", add_special_tokens=False).tokens
    space = "".join(tokens[len(before) : -1])
    longer = (
        name.startswith(space) and name != space for name in tokenizer.get_vocab()
    )
    if not space or not any(longer):
        return tokenizer
    changed = copy.deepcopy(tokenizer)
    stripping = AddedToken(mask, lstrip=True, special=True, normalized=False)
    changed.add_special_tokens({"mask_token": stripping})
    return changed


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer so that transformers 4 and 5 load it.

    transformers 5 names a class, and a list of special tokens, that version 4 lacks.
    """
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


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
        save_tokenizer(tokenizer, Path(folder))
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
