"""The images of a folder, whose subfolders name classes. A process lists a folder once."""

import os
import time
from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from r2mae.data.fingerprint import fingerprint_sizes
from r2mae.data.folder_files import file_size, folder_state, scan_folders
from r2mae.errors import InputError
from r2mae.modalities.vision.image_files import SUFFIXES
from r2mae.modalities.vision.image_tables import Labels, encode_classes

# A clock's tick may be as coarse as this. A folder that was modified within it before it
# was listed may have been modified again since, at the same time by the clock.
_TICK_NS = 2_000_000_000
_MOST_LISTINGS = 4
_listings: dict[str, "_Listing"] = {}


class _Listing(NamedTuple):
    """Files of a folder and of those below it.

    images: paths relative to the folder, in the order of `Path`.
    fingerprint: of names and sizes: reading a million files would take too long.
    other_files: number of files that are no images, by suffix.
    folders: path -> state, by which the listing is known to be current.
    """

    images: list[str]
    fingerprint: str
    other_files: dict[str, int]
    folders: dict[str, tuple[int, int, int]]


class FolderRecords:
    """Image files of a folder and its subfolders, which name the classes if any.

    Implements `ImageRecords`. other_files: number of files that are no images, by suffix.
    """

    def __init__(self, folder: Path) -> None:
        listing = _listing(os.path.abspath(folder))
        if not listing.images:
            raise InputError(
                f"data.root {folder} must hold images "
                f"({', '.join(sorted(SUFFIXES))}), got none. Check the path."
            )
        self.folder, self.images = folder, listing.images
        self.fingerprint, self.other_files = listing.fingerprint, listing.other_files
        self.labels: Labels | None = None
        self.labels_absent = ""
        self.class_names: dict[int, str] = {}
        classes = [image.partition("/")[0] for image in self.images]
        loose = next((name for name in self.images if "/" not in name), None)
        if loose is None:
            self.labels, self.class_names = encode_classes(classes)
            return
        remedy = "Put each image into a folder that is named like its class."
        self.labels_absent = (
            f"images outside class folders, the first {folder / loose}. {remedy}"
        )

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> bytes:
        """Encoded bytes of an image."""
        return (self.folder / self.images[index]).read_bytes()

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return str(self.folder / self.images[index])


def _listing(folder: str) -> _Listing:
    """The files of a folder, listed again where a folder has changed since.

    A file that was written anew under its name counts as unchanged in the same process.
    """
    kept = _listings.get(folder)
    if kept is not None and all(
        folder_state(path) == state for path, state in kept.folders.items()
    ):
        return kept
    _listings.pop(folder, None)
    start = time.time_ns()
    listing = _list(folder)
    newest = max(modified_ns for *_, modified_ns in listing.folders.values())
    if newest < start - _TICK_NS:
        while len(_listings) >= _MOST_LISTINGS:
            del _listings[next(iter(_listings))]
        _listings[folder] = listing
    return listing


def _list(folder: str) -> _Listing:
    prefix = len(os.path.join(folder, ""))
    images: list[tuple[str, int]] = []
    others: Counter[str] = Counter()
    folders = {}
    for scanned in scan_folders(folder):
        folders[scanned.path] = scanned.state
        for entry in scanned.files:
            size = file_size(entry)
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                images.append((entry.path[prefix:], size))
            else:
                others[PurePath(entry.name).suffix.lower() or entry.name] += 1
    # As paths are sorted, part by part: the separator comes before all characters.
    images.sort(key=lambda image: image[0].replace("/", "\0"))
    names = [name for name, _ in images]
    # Names below the folder that all images share, as a copy elsewhere has the same.
    ends = [os.path.dirname(name) for name in (*names[:1], *names[-1:])]
    shared = os.path.commonpath(ends) if names else ""
    start = len(os.path.join(shared, ""))
    fingerprint = fingerprint_sizes((name[start:], size) for name, size in images)
    return _Listing(names, fingerprint, dict(others), folders)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.modalities.vision.image_records import ImageRecords

    _records: type[ImageRecords] = FolderRecords
