"""Folders for other libraries: refused where something lies already, never half-written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from r2mae.errors import InputError

Result = TypeVar("Result")


def check_free(folder: Path) -> None:
    """Raise InputError unless folder is absent or empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        got = "other files" if folder.is_dir() else "a file"
        raise InputError(
            f"{folder} must be an absent or empty folder, got {got}. Name another folder."
        )


def write_folder(folder: Path, write: Callable[[Path], Result]) -> Result:
    """Let write fill a temporary folder beside this one, which then takes its name; gives what write gives.

    Raises: InputError when folder holds something; whatever write raises, after cleaning up.
    """
    check_free(folder)
    target = Path(os.path.realpath(folder))
    temporary = target.with_name(f".writing_{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        result = write(temporary)
        open_files(temporary)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return result


def open_files(folder: Path) -> None:
    """Let all who may read a folder read its files: safetensors writes them for their owner alone."""
    readable = folder.stat().st_mode & 0o666
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(readable)
