"""How far a long computation is: one live line on a terminal, a line every ten seconds elsewhere, on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]  # what, done, in all

_EVERY_SECONDS = 10


def silent(what: str, done: int, total: int) -> None:
    """No progress is shown."""


# Shows the progress of long work that no command asked for by name: a recipe's files that become a store.
listener: ContextVar[Progress] = ContextVar("listener", default=silent)


def show(what: str, unit: str = "samples") -> Callable[[int, int], None]:
    """A callback for (units done, units in all)."""
    start = shown = time.monotonic()
    unit = f" {unit}" if unit else ""

    def progress(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if not sys.stderr.isatty() and now - shown > _EVERY_SECONDS:
            shown, rate = now, done / (now - start)
            line = f"{what}: {done:,}/{total:,}{unit}, {rate:,.0f}/s, {(total - done) / rate:,.0f} s left"
            print(line, file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            sys.stderr.write(
                f"\r{what}: {done:,}/{total:,}{unit}" + ("\n" if done == total else "")
            )
            sys.stderr.flush()

    return progress


@contextmanager
def show_text(what: str) -> Iterator[Callable[[str], None]]:
    """A callback for words on how far it is, where nothing tells how much is left; adds the seconds so far."""
    start = shown = time.monotonic()

    def say(text: str) -> None:
        nonlocal shown
        now = time.monotonic()
        line = f"{what}: {text}, {now - start:,.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(
                f"\r{line}\x1b[K"
            )  # the rest of a longer line before it goes
            sys.stderr.flush()
        elif now - shown > _EVERY_SECONDS:
            shown = now
            print(line, file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\n")


def show_counted(unit: str = "") -> Callable[[str, int, int], None]:
    """A callback for (what, done, in all) where one thing follows another; each gets a line of its own."""
    current, progress = "", show("")

    def say(what: str, done: int, total: int) -> None:
        nonlocal current, progress
        if what != current:
            current, progress = what, show(what, unit)
        progress(done, total)

    return say
