"""Disk space, compared with the size of a store before it is written."""

import shutil
from pathlib import Path

from tqdm import tqdm

from r2mae.errors import InputError


def size_text(num_bytes: float) -> str:
    """A size with its unit, such as 525MB (10^6 bytes)."""
    return f"{tqdm.format_sizeof(num_bytes)}B"


def check_space(place: Path, num_bytes: int, remedy: str) -> None:
    """Raise InputError unless the disk of a file or folder has num_bytes free.

    place: need not exist yet. remedy: the end of the message.
    """
    folder = next(path for path in (place, *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise InputError(
            f"{place} must have {size_text(num_bytes)} of free disk space, "
            f"got {size_text(free)}. {remedy}"
        )
