"""Retries of reads that fail for a moment, as on network file systems."""

import time
from collections.abc import Callable
from typing import TypeVar

PAUSES = (0.5, 1.0, 2.0)  # seconds before each retry
# Errors that a retry cannot cure.
_FINAL = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)

Read = TypeVar("Read")


def retried(read: Callable[[], Read]) -> Read:
    """The result of `read`, retried up to three times on OSError.

    Raises: OSError of the last try, or at once where a retry cannot help.
    """
    for pause in PAUSES:
        try:
            return read()
        except _FINAL:
            raise
        except OSError:
            time.sleep(pause)
    return read()
