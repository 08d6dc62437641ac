"""Finding data cards and the files that they name."""

import heapq
import os
from functools import lru_cache
from pathlib import Path

from r2mae.data.folder_files import is_hidden
from r2mae.errors import InputError, did_you_mean
from r2mae.schema.card import Card
from r2mae.schema.document import load_document
from r2mae.schema.section import validate

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel the cards lie inside the package; in a checkout beside it.
CARDS = next(
    (path for path in (_PACKAGE / "cards", _PACKAGE.parent / "data") if path.is_dir()),
    _PACKAGE,
)


def load_card(name: str) -> Card:
    """The card called name, or the one at a path that ends in .yaml.

    Raises: InputError naming the nearest cards.
    """
    path = Path(name) if name.endswith(".yaml") else CARDS / name / "card.yaml"
    if not path.is_file():
        cards = sorted(card.parent.name for card in CARDS.glob("*/card.yaml"))
        raise InputError(
            f"data.card must be a data card or the path of one, got {name!r}. {did_you_mean(name, cards)}"
        )
    return _read_card(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read_card(path: Path, modified_ns: int) -> Card:  # noqa: ARG001
    """Read a card once, and again when its file changes."""
    return validate(Card, load_document(path), str(path))


def locate(card: Card, root: str | None) -> Path | None:
    """The folder of a card's data: the recipe's root, else the first of the card's that exists; None means the hub."""
    if root is not None:
        return Path(root)
    places = map(Path, card.roots)
    return next((place for place in places if place.is_dir()), None)


def missing_data(card: Card) -> InputError:
    """The error for a card whose data is neither on this machine nor on a hub."""
    return InputError(
        f"data.root must be given for this card, got nothing. Its data is {card.title}; "
        f"source: {card.source}. Set data.root to where it is."
    )


def find_files(card: Card, root: Path, split: str) -> tuple[Path | None, list[Path]]:
    """(folder, []) or (None, parquet files) of a split below root: the card's first place that exists.

    Raises: InputError when root is no folder or holds none of the places.
    """
    if not root.is_dir():
        raise InputError(
            f"data.root must be an existing folder, got {str(root)!r}. Check the path."
        )
    places = card.files.get(split, ())
    for place in places:
        if place.endswith("/"):
            folder = find_folder(root, place)
            if folder is not None and (
                place != "./" or not _matches(root, "*.parquet")
            ):
                return folder, []
        elif files := _matches(root, place):
            return None, files
    present = ", ".join(heapq.nsmallest(8, os.listdir(root))) or "nothing"
    expected = ", ".join(places) or "a split that the card does not have"
    raise InputError(
        f"data.root {root} must hold {expected} for split {split!r}, got {present}. Check the path."
    )


def find_folder(root: Path, place: str) -> Path | None:
    """The folder `place` below root, also as `Train/` or `TRAIN/`; None if there is none."""
    exact = root / place
    if exact.is_dir():
        return exact
    name = place.rstrip("/").lower()
    # A root may hold a million images itself.
    with os.scandir(root) as entries:
        same = [entry.name for entry in entries if entry.name.lower() == name]
    return next((root / name for name in sorted(same) if (root / name).is_dir()), None)


def _matches(root: Path, pattern: str) -> list[Path]:
    """Files that match a pattern, without hidden ones such as `._x.parquet` of macOS."""
    return sorted(path for path in root.glob(pattern) if not is_hidden(path.name))
