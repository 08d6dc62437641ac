"""Files below a folder: links are followed, hidden names are left out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from r2mae.errors import InputError

# Folders of thumbnails and resource forks, which file servers and archives add.
_CLUTTER = {"@eaDir", "__MACOSX"}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no data: a leading dot, or a folder of a file server."""
    return name.startswith(".") or name in _CLUTTER


class Folder(NamedTuple):
    """A folder and the files in it, without those below.

    state: device, inode and time of modification before it was read. A file that is
        added, removed or renamed changes it; one that is written anew does not.
    """

    path: str
    state: tuple[int, int, int]
    files: list[os.DirEntry[str]]


def scan_folders(
    folder: str,
    is_excluded: Callable[[set[str]], bool] = lambda _: False,
    above: frozenset[str] = frozenset(),
) -> Iterator[Folder]:
    """A folder and all folders below it, in any order. Files are not looked at.

    is_excluded: whether to leave out a folder, by the names in it.
    above: real paths of folders that are being listed. Links to them are not followed.

    Raises: InputError for a folder that cannot be read.
    """
    real = Path(os.path.realpath(folder))
    above |= {str(real), *map(str, real.parents)}
    state, entries = _read(folder)
    if is_excluded({entry.name for entry in entries}):
        return
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if not is_hidden(entry.name):
            (folders if _is_folder(entry) else files).append(entry)
    yield Folder(folder, state, files)
    for entry in folders:
        if os.path.realpath(entry.path) not in above:
            yield from scan_folders(entry.path, is_excluded, above)


def list_files(
    folder: Path, is_excluded: Callable[[set[str]], bool] = lambda _: False
) -> Iterator[Path]:
    """Files in a folder and all folders below it, as `scan_folders` finds them."""
    for scanned in scan_folders(str(folder), is_excluded):
        for entry in scanned.files:
            yield Path(entry.path)


def file_size(entry: os.DirEntry[str]) -> int:
    """Bytes of a file. Raises: InputError for one that cannot be reached."""
    try:
        return entry.stat().st_size
    except OSError as error:
        check_link(Path(entry.path))
        raise InputError(
            f"{entry.path} must be readable, got: {error.strerror}. Remove it."
        ) from None


def folder_state(folder: str) -> tuple[int, int, int] | None:
    """`Folder.state` as it is now; None where there is no such folder."""
    try:
        facts = os.stat(folder)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns


def check_link(path: Path) -> Path:
    """The path itself. Raises: InputError for a link to nothing."""
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"{path} must be a file, got a link to {os.readlink(path)}, which does not "
            "exist. Remove the link, or restore its target."
        )
    return path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def _read(folder: str) -> tuple[tuple[int, int, int], list[os.DirEntry[str]]]:
    try:
        facts = os.stat(folder)
        with os.scandir(folder) as entries:
            state = facts.st_dev, facts.st_ino, facts.st_mtime_ns
            return state, list(entries)
    except OSError as error:
        raise InputError(
            f"{folder} must be readable, got: {error.strerror}. "
            "Change its permissions, or move it elsewhere."
        ) from None
