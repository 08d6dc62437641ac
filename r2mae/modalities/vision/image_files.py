"""Image files that a user names."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from r2mae.data.fingerprint import fingerprint_files
from r2mae.errors import InputError
from r2mae.modalities.vision.image_tables import Labels

SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".npy",
}


class FileRecords:
    """Image files, without labels. Implements `ImageRecords`."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.labels: Labels | None = None
        self.labels_absent = (
            f"image files such as {paths[0]}. Name a folder of class folders instead."
        )
        self.class_names: dict[int, str] = {}
        for path in paths:
            if path.suffix.lower() not in SUFFIXES:
                raise InputError(
                    f"{path} must be an image ({', '.join(sorted(SUFFIXES))}), "
                    f"got suffix {path.suffix!r}. Convert it."
                )
        # Of names and sizes: reading a million files would take too long.
        self.fingerprint = fingerprint_paths(paths, contents=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        """Encoded bytes of an image."""
        return self.paths[index].read_bytes()

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return str(self.paths[index])


def fingerprint_paths(files: list[Path], contents: bool) -> str:
    """Digest of names below their common folder, sizes and, with contents, bytes."""
    paths = [path.absolute() for path in files]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return fingerprint_files(root, paths, contents)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.modalities.vision.image_records import ImageRecords

    _records: type[ImageRecords] = FileRecords
