"""The rule for pretrained weights: a run makes the tokens that their own tokenizer makes.

Weights fit wherever shapes are equal, and train on nonsense where token ids mean something
else. So random input is encoded both ways, and a difference is refused.
"""

from typing import Any

import numpy as np

from r2mae.data.tokenizer import borders, load_tokenizer
from r2mae.errors import InputError
from r2mae.interop.transformer_source import checkpoint_tokenizer
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, is_awaited, is_run

_NUM_TOKENS = 2000  # of the random text


def source_tokenizer(source: str, *, needs_last: bool = True) -> Any:
    """The tokenizer of a model.init_from: a run, folder or hub id.

    needs_last: as in `load_tokenizer`.

    Raises: InputError where it has none.
    """
    if is_run(source):
        place = checkpoint_tokenizer(read_manifest(find_checkpoint(source)))
        return load_tokenizer(str(place), needs_last=needs_last)
    try:
        return load_tokenizer(source, needs_last=needs_last)
    except InputError as error:
        raise InputError(
            f"model.init_from must have the tokenizer that it was trained with, got {source!r}: {error}"
        ) from None


def encode(tokenizer: Any, text: str, *, special: bool = False) -> list[int]:
    """Token ids of a text; special: with those that the tokenizer adds."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=special)
    return list(encoding.ids)


def encodes_as(
    tokenizer: Any, text: str, first: int, inner: list[int], last: int | None
) -> bool:
    """Whether a tokenizer makes the tokens `first`, `inner` and `last` of a text.

    Without `first` and `last`, where it adds no special tokens: it leaves these to its user.
    """
    plain, complete = encode(tokenizer, text), encode(tokenizer, text, special=True)
    ends = [] if last is None else [last]
    return plain == inner and complete in (plain, [first, *inner, *ends])


def check_same_tokens(tokenizer: Any, source: str) -> None:
    """Raise InputError unless a tokenizer of texts makes the tokens of a model.init_from's own."""
    if is_awaited(source):
        return
    theirs = source_tokenizer(source)
    _check_vocabulary(tokenizer, theirs, source)
    text = _random_text(theirs)
    inner = encode(tokenizer, text)
    first, last = borders(tokenizer) or (0, 0)
    if encodes_as(theirs, text, first, inner, last):
        return
    is_same = encode(theirs, text) == inner
    ours, expected = [first, *inner, last], encode(theirs, text, special=True)
    if not is_same:
        ours, expected = inner, encode(theirs, text)
    pairs = zip([*ours, None], [*expected, None], strict=False)
    number = next(n for n, (token, other) in enumerate(pairs) if token != other)
    got = tokenizer.convert_ids_to_tokens(ours[number : number + 3])
    own = theirs.convert_ids_to_tokens(expected[number : number + 3])
    remedy = "Name another model." if is_same else "Leave data.tokenizer out."
    raise InputError(
        f"data.tokenizer must make the tokens that the tokenizer of model.init_from {source!r} makes, "
        f"got another token {number} of a random text: {got}, not {own}. {remedy}"
    )


def _check_vocabulary(tokenizer: Any, theirs: Any, source: str) -> None:
    """Raise InputError where an id is another token than in a model.init_from's tokenizer."""
    count = min(len(tokenizer), len(theirs))
    tokens = tokenizer.convert_ids_to_tokens(range(count))
    their_tokens = theirs.convert_ids_to_tokens(range(count))
    for number, (token, expected) in enumerate(zip(tokens, their_tokens, strict=True)):
        if token != expected:
            raise InputError(
                f"data.tokenizer must be that of model.init_from {source!r}, got another: token {number} is "
                f"{token!r}, not {expected!r}. Leave data.tokenizer out."
            )


def _random_text(tokenizer: Any) -> str:
    """Random tokens of a tokenizer as text: as they are, with capitals, and three in a word."""
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    ids = np.random.default_rng(0).choice(ordinary, _NUM_TOKENS)
    text = str(tokenizer.decode(ids.tolist()))
    words = text.split()
    joined = ["".join(words[start : start + 3]) for start in range(0, len(words), 3)]
    return " ".join([text, text.title(), *joined])
