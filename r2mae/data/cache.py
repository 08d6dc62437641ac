"""The cache of stores that are built from a recipe's files. It may be deleted at any time."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError

Store = TypeVar("Store")


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/r2mae/<name>, by default below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "r2mae" / name


def open_cached(
    place: Path, open_store: Callable[[Path], Store], build: Callable[[], Store]
) -> Store:
    """Open a cached store; build it where there is none.

    One that is damaged or of another format is deleted and built again.

    open_store: raises InputError for such a store.
    build: under the lock of `place`; opens what another process has built.
    """
    store = _opened(place, open_store)
    if store is not None:
        return store
    with one_at_a_time(place):
        # Only now, as another process may have built it again meanwhile.
        if place.exists() and _opened(place, open_store) is None:
            shutil.rmtree(place)
    return build()


def _opened(place: Path, open_store: Callable[[Path], Store]) -> Store | None:
    """The store, or None where there is none that can be read."""
    if not place.exists():
        return None
    try:
        return open_store(place)
    except InputError:
        return None
