"""Files that are there whole or not at all: written under another name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends well and is removed when it does not."""
    unfinished = path.with_name(f".writing_{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, text: str) -> None:
    """Replace a small file so that a reader sees the old text or the new, also after a power failure."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(text)
        flush(unfinished)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
