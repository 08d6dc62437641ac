"""How large a cached table will be: said, compared with the disk, and shown while it is written."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2mae.data.space import check_space, size_text
from r2mae.progress import listener, print_above_bars

LARGE = 100 << 20  # bytes, from which on a copy is announced
_MB = 1_000_000
_SECONDS = 1.0  # between two looks at what is written


def table_bytes(files: list[Path]) -> int:
    """Bytes of the rows of files in Arrow, without their compression in parquet."""
    return sum(map(_file_bytes, files))


@contextmanager
def announced(files: list[Path], place: Path, folder: Path) -> Iterator[None]:
    """Say what is written to a folder of the cache, and report its progress.

    place: the folder's name when it is complete.

    Raises: InputError where the disk has no space for it.
    """
    size = table_bytes(files)
    remedy = "Delete files, or set XDG_CACHE_HOME to another disk."
    check_space(place.parent, size, remedy)
    if size >= LARGE:
        others = f" and {len(files) - 1:,} more files" if len(files) > 1 else ""
        print_above_bars(
            f"{files[0]}{others}: made into a table of about {size_text(size)} in "
            f"{place.parent}, once; XDG_CACHE_HOME sets another disk"
        )
    with _progress(folder, size, f"MB of the table of {files[0].name}"):
        yield


@contextmanager
def _progress(folder: Path, size: int, title: str) -> Iterator[None]:
    """Report the megabytes that are written below a folder, from the first second on."""
    is_complete = threading.Event()
    report = listener.get()  # of this thread
    reported: list[int] = []

    def watch() -> None:
        while not is_complete.wait(_SECONDS):
            reported.append(min(_written(folder), size - 1) // _MB)
            report(title, reported[-1], -(-size // _MB))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_complete.set()
        watcher.join()
    if reported:  # so that its bar ends
        report(title, -(-size // _MB), -(-size // _MB))


def _file_bytes(file: Path) -> int:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    size = file.stat().st_size
    if file.suffix != ".parquet":
        return size
    try:
        facts = parquet.read_metadata(file)
    except (ArrowException, OSError):  # reported by whoever reads its rows
        return size
    groups = range(facts.num_row_groups)
    return sum(facts.row_group(group).total_byte_size for group in groups)


def _written(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            continue
    return size
