"""Files below a folder: links are followed, hidden names are left out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from r2mae.errors import InputError

# Folders of thumbnails and resource forks, which file servers and archives add.
_CLUTTER = {"@eaDir", "__MACOSX"}


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no data: a leading dot, or a folder of a file server."""
    return name.startswith(".") or name in _CLUTTER


def list_files(
    folder: Path,
    is_excluded: Callable[[set[str]], bool] = lambda _: False,
    above: frozenset[str] = frozenset(),
) -> Iterator[Path]:
    """Files in a folder and all folders below it, in any order.

    is_excluded: whether to leave out a folder, by the names in it.
    above: real paths of folders that are being listed. Links to them are not followed.

    Raises: InputError for a folder that cannot be read.
    """
    real = Path(os.path.realpath(folder))
    above |= {str(real), *map(str, real.parents)}
    names = _names(folder)
    if is_excluded(names):
        return
    for name in names:
        path = folder / name
        if is_hidden(name):
            continue
        if not path.is_dir():
            yield path
        elif os.path.realpath(path) not in above:
            yield from list_files(path, is_excluded, above)


def check_link(path: Path) -> Path:
    """The path itself. Raises: InputError for a link to nothing."""
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"{path} must be a file, got a link to {os.readlink(path)}, which does not "
            "exist. Remove the link, or restore its target."
        )
    return path


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError as error:
        raise InputError(
            f"{folder} must be readable, got: {error.strerror}. "
            "Change its permissions, or move it elsewhere."
        ) from None
