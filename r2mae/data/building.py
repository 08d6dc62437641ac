"""Folders that are built once, by one process, and have their name only when they are whole."""

import fcntl
import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2mae.errors import InputError


@contextmanager
def one_at_a_time(out: Path, *, wait: bool = True) -> Iterator[None]:
    """Ranks of a run may want the same: one builds, the others wait and find it.

    Raises: InputError where another is at it and nobody is to wait, and for a place without a name.
    """
    if not out.name:
        raise InputError(
            f"{out} must have a name of its own, got none. Name a file or folder in it."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = out.with_name(f".building_{out.name}.lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise InputError(
                    f"{out} must be written by one process, got another at it. Wait for that."
                ) from None
            if not _is_at(file.fileno(), lock):
                continue  # who held it has taken it away
            try:
                yield
            finally:
                lock.unlink()
            return


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def building(out: Path, word: str = "") -> Iterator[Path]:
    """A folder to fill, which becomes `out` when all went well.

    word: of all that it is made of. With one, what a stop leaves behind is found again by the next call, to go on with;
    without, and wherever the input is at fault, nothing is left.

    Raises: InputError when out holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} must be absent or empty, got other files. Name another folder."
        )
    work = out.with_name(
        f".building_{out.name}_{word}" if word else f".building_{out.name}"
    )
    for left in out.parent.glob(
        f".building_{glob.escape(out.name)}*"
    ):  # of other files, or that cannot go on
        rest = left.name.removeprefix(f".building_{out.name}")
        if (
            left.is_dir()
            and (left != work or not word)
            and re.fullmatch("(_[0-9a-f]{16})?", rest)
        ):
            shutil.rmtree(left, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    try:
        yield work
        if out.is_dir():
            out.rmdir()
        work.rename(out)
    except BaseException as error:
        if not word or isinstance(error, InputError):
            shutil.rmtree(work, ignore_errors=True)
        raise
