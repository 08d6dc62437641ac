"""Reading from disks that fail for a moment, as network file systems do."""

import time
from collections.abc import Callable
from typing import TypeVar

PAUSES = (0.5, 1.0, 2.0)  # seconds before each new try
_FINAL = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)

Read = TypeVar("Read")


def retried(read: Callable[[], Read]) -> Read:
    """What `read` gives, asked again three times when the operating system fails it.

    Raises: OSError of the last try; at once where another one cannot help.
    """
    for pause in PAUSES:
        try:
            return read()
        except _FINAL:
            raise
        except OSError:
            time.sleep(pause)
    return read()
