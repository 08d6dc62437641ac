"""Tables as Arrow files, mapped from disk: converted once by `datasets`, kept in the cache.

A cached table is a folder of rows_<n>.arrow and complete.json, which has the fingerprint of
each of them. One that is damaged is built again: mapped, it would give other rows or a crash.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from r2mae.data.atomic import atomic_folder, write_atomic
from r2mae.data.cache import cache_folder, open_cached
from r2mae.data.fingerprint import fingerprint_bytes, fingerprint_files
from r2mae.data.lock import one_at_a_time
from r2mae.data.table_size import announced
from r2mae.errors import InputError

_COMPLETE = "complete.json"


class Prepared(NamedTuple):
    """A file that is read in another one's place. options: of the builder, for it."""

    path: Path
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


# (a file, a folder to write to) -> what to read in its place. Its repr is part of the
# cache key, so it must show everything that the result depends on.
Prepare = Callable[[Path, Path], Prepared]


def cached_table(
    builder: str,
    files: list[Path],
    options: dict[str, Any],
    prepare: Prepare | None = None,
) -> Any:
    """A `datasets.Dataset` of the rows of files, in their order.

    builder: of `datasets`: csv, json, parquet or arrow. options: of that builder.
    prepare: is called before a single file is converted.

    Raises: InputError where the cache has no space for them, and what `datasets` raises
        for files that it cannot read.
    """
    # By content, as `datasets` itself looks at paths and times alone.
    contents = [fingerprint_files(path.parent, [path]) for path in files]
    settings = (builder, contents, sorted(options.items()), prepare)
    key = fingerprint_bytes(repr(settings))
    place = cache_folder("tables") / key

    def build() -> Any:
        with one_at_a_time(place):
            if not place.exists():
                with (
                    atomic_folder(place) as unfinished,
                    announced(files, place, unfinished),
                ):
                    _convert(builder, files, options, prepare, unfinished)
        return _open(place)

    return open_cached(place, _open, build)


def _convert(
    builder: str,
    files: list[Path],
    options: dict[str, Any],
    prepare: Prepare | None,
    folder: Path,
) -> None:
    """Write the Arrow files of a table and what they must hold."""
    import datasets

    working = folder / "working"
    prepared = files
    if prepare is not None:
        (only,) = files
        converted = prepare(only, folder)
        prepared, options = [converted.path], options | converted.options
    table = datasets.load_dataset(
        builder,
        data_files=[str(path) for path in prepared],
        split="train",
        cache_dir=str(working),
        keep_in_memory=False,
        **options,
    )
    written = [Path(file["filename"]) for file in table.cache_files]
    names = [f"rows_{number}.arrow" for number in range(len(written))]
    for source, name in zip(written, names, strict=True):
        source.rename(folder / name)
    shutil.rmtree(working)
    for path in set(prepared) - set(files):
        path.unlink()
    digests = {name: fingerprint_files(folder, [folder / name]) for name in names}
    write_atomic(folder / _COMPLETE, json.dumps(digests))


def _open(place: Path) -> Any:
    """The table in a folder of the cache. Raises: InputError for a damaged one."""
    import datasets

    try:
        digests = json.loads((place / _COMPLETE).read_text())
        differs = [
            name
            for name, digest in digests.items()
            if fingerprint_files(place, [place / name]) != digest
        ]
    except (OSError, ValueError, AttributeError, TypeError):
        differs = [_COMPLETE]
    if differs:
        raise InputError(f"{place / differs[0]} must be undamaged. Delete {place}.")
    parts = [datasets.Dataset.from_file(str(place / name)) for name in digests]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
