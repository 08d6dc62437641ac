"""Find the texts of a recipe: files, a hub data set, or texts that come with Python."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from r2mae.data.atomic import write_atomic
from r2mae.data.bad_rows import BadRows
from r2mae.data.cache import cache_folder
from r2mae.data.card import load_card, locate, missing_data
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.lock import one_at_a_time
from r2mae.data.text_files import expand_texts
from r2mae.errors import InputError, first_line
from r2mae.modalities.language.build import Texts
from r2mae.modalities.language.schema import LanguageData

_MOST_LISTED = 8  # files, in an error
_REMEDY = (
    "Mend it, or build a store that leaves such rows out: "
    "r2mae data build language FOLDER FILES --skip-bad-rows, and data.root: FOLDER."
)


def data_place(section: Any) -> Path | None:
    """The folder, file or glob of a data section; None for a hub data set."""
    return locate(load_card(section.card), section.root)


def split_files(section: Any, split: str) -> list[Path]:
    """Files of a split, "train" or "test": those that the card names, else train.* or test.*.

    Raises: InputError when there are none.
    """
    place, card = data_place(section), load_card(section.card)
    if place is None:
        raise missing_data(card)
    names = card.files.get(split, (f"{split}.*",))
    paths = sorted({path for name in names for path in place.glob(name)})
    if not paths:
        present = sorted(path.name for path in place.glob("*"))[:_MOST_LISTED]
        raise InputError(
            f"{place} must hold {' or '.join(names)}, got {', '.join(present) or 'none'}. "
            "Rename files, or name those of each split in a data card."
        )
    return paths


def find_texts(section: LanguageData, split: str = "train") -> Texts:
    """The texts of a split. Raises: InputError when they are not there."""
    card = load_card(section.card)
    column = section.column
    options = {key: value for key, value in card.text.items() if key != "column"}
    if "column" in card.text and column == "text":
        column = str(card.text["column"])
    if card.embedded is not None and section.root is None:
        return Texts([_embedded(card.embedded)], column, section.document)
    place = data_place(section)
    if place is None and card.hub is not None:
        hub = (card.hub, load_hub_split(card, split))
        bad_rows = BadRows(remedy=_REMEDY)
        return Texts([], column, section.document, options, hub, bad_rows)
    if place is None:
        raise missing_data(card)
    names = card.files.get(split, ())
    by_name = (
        names
        and place.is_dir()
        and (section.root is None or any(any(place.glob(name)) for name in names))
    )
    patterns = [str(place / name) for name in names] if by_name else [str(place)]
    files, bad_rows = expand_texts(patterns), BadRows(remedy=_REMEDY)
    return Texts(files, column, section.document, options, bad_rows=bad_rows)


def load_hub_split(card: Any, split: str) -> Any:
    """A split of a hub data set. Raises: InputError when it cannot be loaded."""
    import datasets

    hub_split = card.splits.get(split, split)
    subset = card.text.get("subset")
    try:
        return datasets.load_dataset(card.hub, subset, split=hub_split)
    except Exception as error:
        raise InputError(
            f"data.card must name a hub data set that can be had, got {card.hub}: {first_line(error)}."
        ) from None


@lru_cache(maxsize=4)
def _embedded(name: str) -> Path:
    """The help topics of Python itself as a text file in the cache."""
    if name != "pydoc_data.topics":
        raise InputError(
            f"card.embedded must be pydoc_data.topics for texts, got {name!r}."
        )
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[key] for key in sorted(topics))
    place = cache_folder("text") / f"topics_{fingerprint_bytes(text)}.txt"
    with one_at_a_time(place):
        if not place.is_file() or place.stat().st_size != len(text.encode()):
            write_atomic(place, text)
    return place
