"""Encoded images and their labels: a folder, parquet files, the hub, or digits."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from r2mae.data.card import find_files, locate
from r2mae.data.fingerprint import fingerprint_array, fingerprint_files
from r2mae.errors import InputError
from r2mae.modalities.vision.image_tables import (
    Labels,
    TableRecords,
    encode_classes,
    load_hub,
    load_parquet,
)
from r2mae.schema.card import Card

_SUFFIXES = {
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
}


class ImageRecords(Protocol):
    """Encoded images by index.

    labels: (N,) class numbers, or None.
    labels_absent: why labels are None and the remedy, as the end of a message.
    class_names: of all class numbers.
    fingerprint: of the data, which differs between data sets.
    """

    labels: Labels | None
    labels_absent: str
    class_names: dict[int, str]
    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | npt.NDArray[np.uint8]:
        """Encoded bytes, or pixels (H, W, C) of embedded data."""
        ...

    def name(self, index: int) -> str:
        """Path or row of an image, for messages."""
        ...


def open_records(
    card: Card, root: str | None, split: str, label_column: str | None = None
) -> ImageRecords:
    """The images of a card's split.

    label_column: used instead of the card's; it must exist, the card's need not.

    Raises: InputError for missing folders, files and columns, and for empty splits.
    """
    card = _with_column(card, label_column)
    records = _open_split(card, root, split)
    if label_column is None:
        return records
    got = None
    if not isinstance(records, TableRecords):
        remedy = "Leave it out: class folders name the classes."
        got = f"{label_column!r} for data without columns. {remedy}"
    elif records.labels is None:
        got = records.labels_absent
    if got is not None:
        raise InputError(f"data.label_column must be a column of the data, got {got}")
    return records


def _with_column(card: Card, label_column: str | None) -> Card:
    if label_column is None:
        return card
    return card.model_copy(update={"label_column": label_column})


def _open_split(card: Card, root: str | None, split: str) -> ImageRecords:
    if card.embedded is not None:
        return _DigitRecords(split)
    place = locate(card, root)
    if place is None:
        if card.hub is None:
            raise InputError(
                "data.root must be set for this card, got nothing. "
                "Set it to the folder of your images."
            )
        return TableRecords(load_hub(card, split), card, f"{card.hub}[{split}]", None)
    folder, files = find_files(card, place, split)
    if folder is not None:
        return _FolderRecords(folder)
    return _open_parquet(files, card)


def open_record_paths(
    card: Card, paths: list[str], label_column: str | None = None
) -> ImageRecords:
    """The images of one folder, of parquet files, or of image files that a user names.

    label_column: used instead of the card's; neither needs to exist.

    Raises: InputError when a path does not exist or is none of these.
    """
    files = [Path(path) for path in paths]
    for file in files:
        if not file.exists():
            raise InputError(f"{file} must exist, but it does not. Check the path.")
    if len(files) == 1 and files[0].is_dir():
        return _FolderRecords(files[0])
    if all(file.suffix == ".parquet" for file in files):
        return _open_parquet(files, _with_column(card, label_column))
    return _FileRecords(files)


def _open_parquet(files: list[Path], card: Card) -> ImageRecords:
    table = load_parquet(files)
    return TableRecords(table, card, files[0].name, _fingerprint(files, contents=True))


class _FileRecords:
    """Image files, without labels."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.labels: Labels | None = None
        self.labels_absent = (
            f"image files such as {paths[0]}. Name a folder of class folders instead."
        )
        self.class_names: dict[int, str] = {}
        for path in paths:
            if path.suffix.lower() not in _SUFFIXES:
                raise InputError(
                    f"{path} must be an image ({', '.join(sorted(_SUFFIXES))}), "
                    f"got suffix {path.suffix!r}. Convert it."
                )
        # Of names and sizes: reading a million files would take too long.
        self.fingerprint = _fingerprint(paths, contents=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        return self.paths[index].read_bytes()

    def name(self, index: int) -> str:
        return str(self.paths[index])


class _FolderRecords(_FileRecords):
    """Image files of a folder and its subfolders, which name the classes if any."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in _SUFFIXES and path.is_file()
        )
        if not paths:
            raise InputError(
                f"data.root {folder} must hold images "
                f"({', '.join(sorted(_SUFFIXES))}), got none. Check the path."
            )
        super().__init__(paths)
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


class _DigitRecords:
    """scikit-learn's digits: the first 1,437 train, the last 360 test."""

    def __init__(self, split: str) -> None:
        pixels, labels = _read_digits()
        rows = slice(0, 1437) if split == "train" else slice(1437, None)
        # 17 grey levels 0..16 -> 0..240.
        self.pixels = (pixels[rows].reshape(-1, 8, 8, 1) * 15).astype(np.uint8)
        self.labels: Labels | None
        self.labels, self.class_names = encode_classes(labels[rows])
        self.labels_absent = ""
        self.fingerprint = fingerprint_array(self.pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        pixels: npt.NDArray[np.uint8] = self.pixels[index]
        return pixels

    def name(self, index: int) -> str:
        return f"digit {index}"


def _read_digits() -> tuple[npt.NDArray[np.float64], Labels]:
    """(pixels (N, 64) 0 to 16, classes (N,)) of scikit-learn's file; importing its reader takes 2 s of CPU."""
    package = find_spec("sklearn")
    assert package is not None  # a requirement of r2mae
    assert package.origin is not None
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def _fingerprint(files: list[Path], contents: bool) -> str:
    paths = [path.absolute() for path in files]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return fingerprint_files(root, paths, contents)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _records: type[ImageRecords] = _FileRecords
    _records_2: type[ImageRecords] = _DigitRecords
