"""Tokenise texts, or pairs of texts, up to a maximum number of tokens each."""

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.text_files import split_text
from r2mae.data.tokenizer import borders
from r2mae.errors import InputError

Integers = npt.NDArray[np.int64]
LongTexts = Literal["cut", "windows", "error"]
BATCH_CHARACTERS = 1 << 21  # tokenised together, on all cores


class Tokens(NamedTuple):
    """Token ids of N texts, or of W windows of them.

    ids: (T,) int32. starts: (W + 1,) int64, where each window starts in ids.
    types: (T,) int8 token type ids, 1 for the second text of a pair; None without pairs.
    owners: (W,) int64, the text of each window.
    limit: maximum number of tokens of a text. num_long: texts with more.
    num_tokens: of complete texts, without special tokens. num_unknown: unknown ones.
    """

    ids: npt.NDArray[np.int32]
    starts: Integers
    types: npt.NDArray[np.int8] | None
    owners: Integers
    limit: int
    num_long: int
    num_tokens: int
    num_unknown: int


def tokenise_texts(
    tokenizer: Any,
    first: list[str],
    second: list[str] | None,
    length: int,
    long_texts: LongTexts = "cut",
    name: Callable[[int], str] = "text {}".format,
) -> Tokens:
    """Tokens of N texts or pairs of texts.

    length: maximum number of tokens of a text or pair, special ones included.
    long_texts: cut longer ones (the longer of a pair first), split them into windows of
        about equal length, or raise an error.
    name: of a text by its number, for that error.

    Raises: InputError for a long text, where long_texts says so.
    """
    columns = [first] if second is None else [first, second]
    encoded = [_encode(tokenizer, texts) for texts in columns]
    start, end = borders(tokenizer) or (0, 0)
    between = [] if second is None else separators(tokenizer, end)
    room = length - 2 - len(between)
    windows: list[npt.NDArray[np.int32]] = []
    types: list[npt.NDArray[np.int8]] = []
    owners: list[int] = []
    for number, texts in enumerate(zip(*encoded, strict=True)):
        size = sum(map(len, texts)) + length - room
        if size > length and long_texts == "error":
            raise _too_long(name(number), length, size)
        for left, right in _windows(texts, room, long_texts):
            parts = ([start], left, between, right, [end])
            windows.append(np.concatenate(parts).astype(np.int32))
            owners.append(number)
            sides = [1 + len(left) + len(between), len(right) + 1]
            types.append(np.repeat(np.array([0, 1], dtype=np.int8), sides))
    sizes = np.sum([list(map(len, column)) for column in encoded], axis=0)
    unknown = [tokens == tokenizer.unk_token_id for tokens in itertools.chain(*encoded)]
    return Tokens(
        np.concatenate(windows),
        np.cumsum([0, *map(len, windows)]),
        None if second is None else np.concatenate(types),
        np.array(owners, dtype=np.int64),
        limit=length,
        num_long=int((sizes > room).sum()),
        num_tokens=int(sizes.sum()),
        num_unknown=sum(int(np.sum(flags)) for flags in unknown),
    )


def _too_long(name: str, length: int, size: int) -> InputError:
    return InputError(
        f"{name} must have at most {length} tokens, the run's data.length, got {size:,}. "
        "Use --long-texts windows or cut, or shorten it."
    )


def _encode(tokenizer: Any, texts: list[str]) -> list[Integers]:
    """Tokens of each text, without special tokens; memory for one batch of texts."""
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    tokens: list[list[Any]] = [[] for _ in texts]
    owners: list[int] = []
    batch: list[str] = []
    size = 0
    for number, text in enumerate(texts):
        for part in split_text(text):
            batch.append(part)
            owners.append(number)
            size += len(part) + 100
        if size > BATCH_CHARACTERS or number == len(texts) - 1:
            encodings = encode(batch, add_special_tokens=False)
            for owner, encoding in zip(owners, encodings, strict=True):
                tokens[owner].append(np.array(encoding.ids, dtype=np.int64))
            owners, batch, size = [], [], 0
    return [np.concatenate(parts) for parts in tokens]


def separators(tokenizer: Any, end: int) -> list[int]:
    """The special tokens between two texts of a pair: one [SEP], or the two of RoBERTa."""
    joined = tokenizer.backend_tokenizer.encode("a", "b")
    sides = joined.sequence_ids
    if 0 not in sides or 1 not in sides:
        return [end]
    return joined.ids[len(sides) - sides[::-1].index(0) : sides.index(1)] or [end]


def _windows(
    texts: tuple[Integers, ...], room: int, long_texts: LongTexts
) -> list[tuple[Integers, Integers]]:
    """The parts of a text, or pair, that are read; a single text has an empty second."""
    if len(texts) > 1:
        return [_truncate_pair(texts[0], texts[1], room)]
    (text,) = texts
    if long_texts == "cut" or len(text) <= room:
        return [(text[:room], text[:0])]
    count = -(-len(text) // room)
    return [(window, text[:0]) for window in np.array_split(text, count)]


def _truncate_pair(
    first: Integers, second: Integers, room: int
) -> tuple[Integers, Integers]:
    """Both texts truncated to room tokens in all, the longer one first."""
    half = room // 2
    if len(first) + len(second) <= room:
        return first, second
    if len(second) <= half:
        return first[: room - len(second)], second
    if len(first) <= half:
        return first, second[: room - len(first)]
    return first[: room - half], second[:half]
