"""The cache of stores that are built from a recipe's files. It may be deleted at any time."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from r2mae.errors import InputError

Store = TypeVar("Store")


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/r2mae/<name>, by default below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "r2mae" / name


def open_cached(
    place: Path, open_store: Callable[[Path], Store], build: Callable[[], Store]
) -> Store:
    """Open a cached store; build it where there is none, or one that is damaged or of another format."""
    if place.exists():
        try:
            return open_store(place)
        except InputError:
            shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    return build()
