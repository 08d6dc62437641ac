"""Progress of long computations on stderr: tqdm on a terminal, a plain line every 10 seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

Progress = Callable[[str, int, int], None]  # title, done, total

LIVE_SECONDS = 0.1
LINE_SECONDS = 10.0


def silent(title: str, done: int, total: int) -> None:
    """Show nothing."""


# Where to report work that no command was called for, such as building the store of a recipe's files.
listener: ContextVar[Progress] = ContextVar("listener", default=silent)


class Bar(tqdm):
    """tqdm on stderr; where that is no terminal, lines without carriage returns, the first after 10 seconds."""

    monitor_interval = 0  # no thread, as data loaders fork

    def __init__(
        self, *, line_format: str | None = None, start: float = 0.0, **options: Any
    ) -> None:
        """line_format: bar_format of the lines; default tqdm's without the bar.

        start: time.time() when the work began; default now. options: of tqdm.
        """
        self.is_live = sys.stderr.isatty()
        if self.is_live:
            options |= {"mininterval": LIVE_SECONDS, "dynamic_ncols": True}
        else:
            options |= {"mininterval": LINE_SECONDS, "delay": LINE_SECONDS}
            options |= {"bar_format": line_format} if line_format else {"ncols": 0}
        # One line for all bars: tqdm would move each below those that were never closed,
        # as after work that was interrupted.
        super().__init__(file=sys.stderr, miniters=0, position=0, **options)
        if start:
            self.start_t = self.last_print_t = start

    def show(self, done: int, *, force: bool = False) -> None:
        """Set the number of units done; display it if the last display is old enough, or by force."""
        if not self.update(done - self.n) and force:
            self.refresh()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the bar, or a line."""
        if self.is_live:
            super().display(msg, pos)
        else:
            print(str(self) if msg is None else msg, file=self.fp, flush=True)

    def close(self) -> None:
        """Leave the bar; lines need no end."""
        if self.is_live:
            super().close()
        self.disable = True


def print_above_bars(line: str) -> None:
    """A line on stderr that stays, above the bars of a terminal."""
    if sys.stderr.isatty():
        Bar.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)


def progress_bar(title: str, unit: str = "samples") -> Callable[[int, int], None]:
    """A callback for (done, total) units that shows a bar, the rate and the time left."""
    start = time.time()
    bar: Bar | None = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = Bar(
                desc=title,
                total=total,
                unit=f" {unit}" if unit else "",
                unit_scale=unit == "bytes",
                start=start,
            )
        bar.total = total
        bar.show(done)
        if done >= total:
            bar.close()
            bar = None

    return progress


def progress_bars(unit: str = "") -> Progress:
    """A callback for (title, done, total) that shows a bar for each title in turn."""
    current, progress = "", progress_bar("", unit)

    def show(title: str, done: int, total: int) -> None:
        nonlocal current, progress
        if title != current:
            current, progress = title, progress_bar(title, unit)
        progress(done, total)

    return show


@contextmanager
def status_line(title: str) -> Iterator[Callable[[str], None]]:
    """A callback for a text on work of unknown length, shown with the time since the start."""
    line_format = "{desc}{postfix}, {elapsed}"
    bar = Bar(desc=title, bar_format=line_format, line_format=line_format)

    def show(text: str) -> None:
        bar.set_postfix_str(text, refresh=False)
        bar.show(0)

    try:
        yield show
    finally:
        bar.close()
