"""What a user can do wrong, said in one line."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input: one line of the form `<what> must <rule>, got <value>. <remedy>.`; the CLI exits with code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InterruptedRun(Exception):  # noqa: N818 - an ending, no error
    """A signal stopped a run after its checkpoint was written; the CLI exits with 128 + the signal's number."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(signal_number, step)
        self.signal_number = signal_number
        self.step = step


def first_line(error: BaseException, most: int = 160) -> str:
    """The first line of an exception's message without its full stop, or its type.

    most: characters that are kept.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:most].rstrip(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A closing remedy: the nearest known word, or all of them when few and none is near."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= 40 else ""
