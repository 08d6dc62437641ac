"""Files and folders that get their name when they are complete, or never appear."""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2mae.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which replaces `path` after the block.

    It is flushed to disk first, so that not even a power cut leaves a part of it.
    After an exception it is deleted, and `path` is as before.
    """
    unfinished = path.with_name(f".writing_{path.name}")
    try:
        unfinished.touch()
    except FileNotFoundError:
        raise _no_folder(path) from None
    try:
        yield unfinished
        flush(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, text: str) -> None:
    """Replace a small file: a reader sees the old text or the new, never a part."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(text)


@contextmanager
def atomic_folder(out: Path, fingerprint: str = "") -> Iterator[Path]:
    """Give a folder to fill, which is renamed to `out` after the block.

    After an exception it is deleted, unless there is a fingerprint.

    fingerprint: 16 hex digits of all inputs. With one, the folder of an interrupted call
        is given again to the next call with the same fingerprint, to be resumed. It is
        deleted after an InputError, and when the fingerprint changes.

    Raises: InputError when `out` holds something.
    """
    check_free(out)
    target = Path(os.path.realpath(out))
    suffix = f"_{fingerprint}" if fingerprint else ""
    unfinished = target.with_name(f".building_{target.name}{suffix}")
    _delete_unfinished(target, kept=unfinished if fingerprint else None)
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:
        raise _no_folder(out) from None
    try:
        yield unfinished
        open_files(unfinished)
        if target.is_dir():
            target.rmdir()
        unfinished.rename(target)
    except BaseException as error:
        if not fingerprint or isinstance(error, InputError):
            shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _no_folder(path: Path) -> InputError:
    return InputError(
        f"{path} must be in a folder that can be written, got {path.parent}. "
        "Name another folder."
    )


def _delete_unfinished(target: Path, kept: Path | None) -> None:
    """Delete what interrupted calls left of a folder, but for what can be resumed."""
    name = f".building_{target.name}"
    for folder in target.parent.glob(f"{glob.escape(name)}*"):
        # The names of other folders may begin with this one's.
        is_of_target = re.fullmatch("(_[0-9a-f]{16})?", folder.name.removeprefix(name))
        if folder.is_dir() and folder != kept and is_of_target:
            shutil.rmtree(folder, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Raise InputError unless folder is absent or empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        got = "other files" if folder.is_dir() else "a file"
        raise InputError(
            f"{folder} must be absent or empty, got {got}. Name another folder."
        )


def open_files(folder: Path) -> None:
    """Let all who may read a folder read its files, as safetensors does not."""
    readable = folder.stat().st_mode & 0o666
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(readable)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
