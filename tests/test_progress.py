"""Progress on a terminal and elsewhere; the clock is tqdm's, moved by hand."""

import io
from types import SimpleNamespace

import pytest

from r2mae.progress import progress_bar, progress_bars, status_line


class Stream(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


class Clock:
    def __init__(self):
        self.now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("r2mae.progress.time", clock)
    monkeypatch.setattr("tqdm.std.time", clock.time)
    return clock


@pytest.fixture
def lines(monkeypatch):
    """What a file or a pipe gets."""
    stream = Stream(is_terminal=False)
    monkeypatch.setattr("r2mae.progress.sys", SimpleNamespace(stderr=stream))
    return lambda: stream.getvalue().splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal gets."""
    stream = Stream(is_terminal=True)
    monkeypatch.setattr("r2mae.progress.sys", SimpleNamespace(stderr=stream))
    return stream.getvalue


@pytest.mark.parametrize("done", [0, 3])
def test_a_first_report_after_ten_seconds_is_a_line(clock, lines, done):
    progress = progress_bar("features", "rows")
    clock.now += 12
    progress(done, 12)
    (line,) = lines()
    assert line.startswith("features: ")
    assert f"{done}/12 [00:12<" in line
    assert ("?" in line) == (done == 0)  # no rate yet, so no time left
    if done:
        assert "00:36" in line  # 9 rows at 4 s each
        assert "4.00s/ rows" in line


def test_lines_come_every_ten_seconds_without_carriage_returns(clock, lines):
    progress = progress_bar("features")
    for done in range(1, 101):
        clock.now += 0.5
        progress(done, 1000)
    shown = lines()
    assert len(shown) == 5
    assert not any("\r" in line or "|" in line for line in shown)
    assert shown[-1] == "features:  10% 100/1000 [00:50<07:30,  2.00 samples/s]"


def test_short_work_says_nothing_in_a_file(clock, lines):
    progress = progress_bar("features")
    for done in range(1, 11):
        clock.now += 0.5
        progress(done, 10)
    assert lines() == []


def test_a_terminal_gets_a_bar_that_ends_its_line(clock, terminal):
    progress = progress_bar("features")
    for done in range(1, 11):
        clock.now += 0.5
        progress(done, 10)
    text = terminal()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "100%|##########|" in text.split("\r")[-1]
    assert "10/10 [00:05<00:00,  2.00 samples/s]" in text


def test_a_callback_serves_one_pass_after_another(clock, terminal):
    progress = progress_bar("features")
    for done in (5, 10, 5, 10):
        clock.now += 1
        progress(done, 10)
    assert terminal().count("\n") == 2


def test_bytes_are_scaled(clock, lines):
    progress = progress_bar("read", "bytes")
    clock.now += 10
    progress(2_000_000, 8_000_000)
    assert lines() == ["read:  25% 2.00M/8.00M [00:10<00:30, 200k bytes/s]"]


def test_each_title_has_its_bar(clock, terminal):
    progress = progress_bars("cells")
    for title in ("a.h5ad", "b.h5ad"):
        for done in (1, 2):
            clock.now += 1
            progress(title, done, 2)
    first, second, _ = terminal().split("\n")
    assert "a.h5ad: 100%" in first
    assert "b.h5ad: 100%" in second


def test_a_status_shows_the_time_so_far(clock, lines):
    with status_line("probe") as status:
        for number in range(1, 25):
            clock.now += 1
            status(f"draw {number} of 24")
    assert lines() == ["probe, draw 10 of 24, 00:10", "probe, draw 20 of 24, 00:20"]


def test_a_shorter_status_replaces_a_longer_one_on_a_terminal(clock, terminal):
    with status_line("probe") as status:
        clock.now += 1
        status("iteration 1, loss 1.25")
        clock.now += 1
        status("done")
    *_, longer, shorter, left = terminal().split("\r")
    assert longer == "probe, iteration 1, loss 1.25, 00:01"
    assert shorter.rstrip(" ") == left.strip() == "probe, done, 00:02"
    assert len(shorter) >= len(longer)
    assert left.endswith("\n")


def test_bars_that_were_never_closed_move_no_later_one(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream in (io.StringIO(), Terminal()):  # lines and bars, both interrupted
        monkeypatch.setattr("sys.stderr", stream)
        left = progress_bar("interrupted")
        left(1, 10)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = progress_bar("features")
    for done in range(11):
        progress(done, 10)
    assert terminal.getvalue().count("\n") == 1
    assert "\x1b[A" not in terminal.getvalue()
