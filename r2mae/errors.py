"""Exceptions that the command line reports in one line."""

import difflib
import errno
from collections.abc import Iterable
from typing import TypeGuard

_MAX_LISTED = 60  # names in one message
_FULL_OR_FORBIDDEN = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EEXIST,
)


class InputError(Exception):
    """Input that breaks a rule; the command line exits with code 2.

    The message is one line, `<what> must <rule>, got <value>. <remedy>.`
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InterruptedRun(Exception):  # noqa: N818 - the run can be continued
    """A signal stopped a run after its checkpoint was written.

    The command line exits with code 128 + signal_number. step: of the checkpoint.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(signal_number, step)
        self.signal_number = signal_number
        self.step = step


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """A remedy for an unknown name: similar choices, or else all of them.

    It is empty where none is similar and there are more than 40.
    """
    names = [str(choice) for choice in choices]
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if similar:
        return f"Did you mean {' or '.join(similar)}?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= _MAX_LISTED else ""


def first_line(error: BaseException, most: int = 160) -> str:
    """The first line of an exception's message without its full stop, or its type.

    most: characters that are kept.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:most].rstrip(".")


def is_full_or_forbidden(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether the system refuses to write: a full disk, no permission, an unusable path."""
    return isinstance(error, OSError) and error.errno in _FULL_OR_FORBIDDEN
