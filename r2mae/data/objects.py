"""Samples in memory, as `LoadedRun.embed` takes them."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from r2mae.errors import InputError


def list_objects(objects: Any, kind: str) -> list[Any]:
    """The items of a list, an array, a column of a table or an iterator.

    kind: of the items in the plural, such as "texts", for messages.

    Raises: InputError for what has no items in order, whose keys would be read as items.
    """
    # Iterating over a DataFrame gives the names of its columns.
    is_table = hasattr(objects, "columns")
    is_one = isinstance(objects, str | bytes) or not isinstance(objects, Iterable)
    if is_one or is_table or isinstance(objects, Mapping | Set):
        got = type(objects).__name__
        remedy = " Give one column of it." if is_table else ""
        raise InputError(f"objects must be a list of {kind}, got {got}.{remedy}")
    try:
        items = list(objects)
    except TypeError:  # an array without dimensions
        items = []
    if not items:
        raise InputError(f"objects must be a list of {kind}, got an empty one.")
    return items
