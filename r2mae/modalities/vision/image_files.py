"""Image files: those that a user names, or those of a folder, whose subfolders name classes."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from r2mae.data.fingerprint import fingerprint_files
from r2mae.data.folder_files import check_link, list_files
from r2mae.errors import InputError
from r2mae.modalities.vision.image_tables import Labels, encode_classes

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


class FolderRecords(FileRecords):
    """Image files of a folder and its subfolders, which name the classes if any.

    other_files: number of files that are no images, by suffix.
    """

    def __init__(self, folder: Path) -> None:
        files = [check_link(path) for path in list_files(folder)]
        paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(
                f"data.root {folder} must hold images "
                f"({', '.join(sorted(SUFFIXES))}), got none. Check the path."
            )
        super().__init__(paths)
        suffixes = Counter(path.suffix.lower() or path.name for path in files)
        self.other_files = {
            suffix: count
            for suffix, count in suffixes.items()
            if suffix not in SUFFIXES
        }
        classes = [path.relative_to(folder).parts[0] for path in self.paths]
        loose = [path for path in self.paths if path.parent == folder]
        if not loose:
            self.labels_absent = ""
            self.labels, self.class_names = encode_classes(classes)
            return
        remedy = "Put each image into a folder that is named like its class."
        self.labels_absent = (
            f"images outside class folders, the first {loose[0]}. {remedy}"
        )


def fingerprint_paths(files: list[Path], contents: bool) -> str:
    """Digest of names below their common folder, sizes and, with contents, bytes."""
    paths = [path.absolute() for path in files]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return fingerprint_files(root, paths, contents)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.modalities.vision.image_records import ImageRecords

    _records: type[ImageRecords] = FileRecords
