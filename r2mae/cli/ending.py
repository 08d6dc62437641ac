"""Turns exceptions into an exit code and at most one line on stderr.

Exit codes: 0 done, 1 a fault in r2mae (its traceback is in a log), 2 bad input, 3 done
without samples that could not be read, 128 + n stopped by signal n with the state saved.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from r2mae.errors import InputError, InterruptedRun, is_full_or_forbidden
from r2mae.schema.launch import FAILURE_FILE, failure_report, read_launch

# Errors of gloo, NCCL and torch's store that mean that another process died, not this rank.
_PEER_ERRORS = (
    "closed by peer",
    "connection reset",
    "connection refused",
    "broken pipe",
    "socket",
    "remote process exit",  # "exited or there was a network error", "exiting prematurely"
    "ncclremoteerror",
    "communicator was aborted",
)
_OF_A_TIMEOUT = ("timed out", "timeout")

# How safetensors, HDF5 and numpy report a full disk, without an error number.
_ON_A_FULL_DISK = re.compile(r"No space left on device|\d+ requested and \d+ written")

# A requirement of an extra, as package metadata writes it: `timm>=1.0; extra == 'vision'`.
_EXTRA_REQUIREMENT = re.compile(r"([\w.-]+).*\bextra == ['\"]([\w-]+)['\"]")
_ALL_EXTRAS = "all"
_PACKAGE_OF_MODULE = {"PIL": "pillow"}  # where the two names differ


def end(error: BaseException, arguments: argparse.Namespace) -> int:
    """Report the error that ended a command; returns the exit code. Call it in the except block."""
    if isinstance(error, InputError):
        return _fail(arguments, f"r2mae: {error}", 2, own=True)
    if isinstance(error, InterruptedRun):
        return _end_interrupted(error)
    if isinstance(error, KeyboardInterrupt):
        return _print_line("r2mae: interrupted", 130)
    if isinstance(error, BrokenPipeError):
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader closed the pipe: no error
        return 0
    if is_full_or_forbidden(error):
        line = f"r2mae: {error.filename or 'the disk'} must be writable, got {error.strerror}"
        return _fail(arguments, line, 2, own=True)
    if _ON_A_FULL_DISK.search(str(error)):
        line = "r2mae: the disk must be writable, got No space left on device"
        return _fail(arguments, line, 2, own=True)
    if isinstance(error, ModuleNotFoundError):
        missing = _missing_library(
            error, getattr(arguments, "subcommand", "this command")
        )
        if missing is not None:
            return _fail(arguments, missing, 2, own=True)
    return _fault(arguments, error)


def _end_interrupted(error: InterruptedRun) -> int:
    """The exit code of a rank that a signal stopped.

    0 under torchrun, which starts all ranks again after any other code.
    """
    # srun sends it to the ranks that end after the first one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    number, remedy = error.signal_number, "the same command continues"
    line = f"r2mae: stopped by signal {number}, saved at step {error.step}; {remedy}"
    code = 0 if read_launch().launcher == "torchrun" else 128 + number
    return _print_line(line, code)


def _missing_library(error: ModuleNotFoundError, subcommand: str) -> str | None:
    """The line for a library that an extra of r2mae installs; None for any other module."""
    module = (error.name or "").partition(".")[0]
    package = _PACKAGE_OF_MODULE.get(module, module)
    extras = [extra for name, extra in extra_requirements() if name == package]
    if not extras:
        return None
    # Several extras may install it: take the one of the wing that was running, else the first in the metadata.
    named = [name for name in extras if name != _ALL_EXTRAS]
    extra = _running_extra(error, extras) or (named or extras)[0]
    remedy = f'Run: pip install "r2mae[{extra}]".'
    return f"r2mae: {subcommand} needs {package}, which is not installed. {remedy}"


def _running_extra(error: ModuleNotFoundError, extras: list[str]) -> str | None:
    """The extra of the wing in the traceback, if it is one of those."""
    frames = traceback.walk_tb(error.__traceback__)
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in frames]
    for extra in extras:
        prefix = f"r2mae.modalities.{extra}."
        if any(module.startswith(prefix) for module in modules):
            return extra
    return None


def extra_requirements() -> list[tuple[str, str]]:
    """(package, extra) for every requirement of an extra, by the metadata of the installed r2mae."""
    try:
        lines = requires("r2mae") or []
    except PackageNotFoundError:
        return []
    matches = [_EXTRA_REQUIREMENT.match(line) for line in lines]
    return [(match[1].lower(), match[2]) for match in matches if match]


def _fault(arguments: argparse.Namespace, error: BaseException) -> int:
    """Log the traceback, with the rank if there are several."""
    here = read_launch()
    rank = "" if here.launcher == "none" else f"rank {here.rank}: "
    log = Path(
        getattr(arguments, "log_file", None)
        or Path(tempfile.gettempdir()) / "r2mae-error.log"
    )
    if not log.parent.is_dir():  # the first rank has not created it yet
        log = Path(tempfile.gettempdir()) / "r2mae-error.log"
    with log.open("a") as file:
        file.write(
            f"{rank}{time.strftime('%Y-%m-%dT%H:%M:%S%z')}\n{traceback.format_exc()}"
        )
    text = str(error).strip()
    lower = text.lower()
    waited = any(phrase in lower for phrase in _OF_A_TIMEOUT)
    is_own = not waited and not any(phrase in lower for phrase in _PEER_ERRORS)
    # Without several ranks, a timeout or a socket has nothing to do with another one.
    is_of_peer = rank and not is_own
    what = "lost another rank" if is_of_peer else "fault in r2mae"
    first = (text.splitlines() or [""])[0][:300]
    line = f"r2mae: {rank}{what}: {type(error).__name__}: {first}"
    return _fail(
        arguments,
        f"{line} (traceback in {log})",
        1,
        log=str(log),
        own=is_own,
        waited=waited,
    )


def _fail(arguments: argparse.Namespace, line: str, code: int, **about: Any) -> int:
    """Report a failure once.

    Under the supervisor of several ranks, each rank that fails writes a file; the supervisor prints the first.
    """
    if failure_file := os.environ.get(FAILURE_FILE):
        report = failure_report(Path(failure_file), os.getpid())
        report.write_text(json.dumps({"line": line, "code": code} | about))
        with contextlib.suppress(FileExistsError):
            os.link(report, failure_file)  # atomic, and the first one wins
        return code
    in_training = getattr(arguments, "log_file", None) is not None
    return _print_line(line, code, everywhere=in_training)


def _print_line(line: str, code: int, *, everywhere: bool = False) -> int:
    """Print a line on stderr, from the first process only unless everywhere is set."""
    if everywhere or read_launch().is_first:
        print(line, file=sys.stderr, flush=True)
    return code
