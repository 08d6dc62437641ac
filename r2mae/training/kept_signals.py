"""Signals that come between the runs of one command, such as `r2mae finetune`.

SLURM sends SIGUSR1 before the time limit, also while a command tests one run or opens
the data of the next. The default action of the signal would kill it without a save.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_kept: list[int] | None = None  # None where signals are not kept


@contextmanager
def keep_signals() -> Iterator[None]:
    """Within, a signal between two runs stops the next run after its first step."""
    global _kept
    _kept = []
    earlier = signal.signal(signal.SIGUSR1, lambda number, _: keep_signal(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, earlier)
        _kept = None


def keep_signal(number: int) -> None:
    """Keep a signal for the next run; 0 for none."""
    if _kept is not None and number:
        _kept.append(number)


def take_signal() -> int:
    """The signal that was kept for this run, 0 for none."""
    number = _kept[-1] if _kept else 0
    if _kept:
        _kept.clear()
    return number
