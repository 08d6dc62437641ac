"""Ctrl-C while libraries are imported.

A KeyboardInterrupt inside the initialisation of a C++ extension may abort the process.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def exit_on_interrupted_import() -> Iterator[None]:
    """Within it, Ctrl-C during an import ends the process at once, with code 130.

    At other times it raises KeyboardInterrupt as usual.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        os.write(2, b"r2mae: interrupted\n")
        os._exit(INTERRUPTED)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    """Whether an import is on the stack of a frame."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
