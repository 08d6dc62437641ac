"""Encoded images and their labels: a folder, parquet files, the hub, or digits."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from r2mae.data.card import find_files, find_folder, locate, missing_data
from r2mae.data.fingerprint import fingerprint_array
from r2mae.data.folder_files import is_hidden
from r2mae.data.text_tables import read_table
from r2mae.errors import InputError
from r2mae.modalities.vision.image_files import FileRecords, fingerprint_paths
from r2mae.modalities.vision.image_folder import FolderRecords
from r2mae.modalities.vision.image_tables import (
    Labels,
    TableRecords,
    encode_classes,
    load_hub,
    load_parquet,
)
from r2mae.modalities.vision.labelled_folder import (
    FILE_NAME,
    LabelledFolder,
    find_label_table,
)
from r2mae.schema.card import Card


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

    label_column: used instead of the card's; it must exist, the card's need not. Of a
        folder of images, a column of the table beside them.

    Raises: InputError for missing folders, files and columns, and for empty splits.
    """
    records = _open_split(card, root, split, label_column)
    if label_column is None or isinstance(records, LabelledFolder):
        return records
    got = None
    if not isinstance(records, TableRecords):
        remedy = "Leave it out: class folders name the classes."
        if isinstance(records, FolderRecords):
            remedy = (
                f"Leave it out, or put a metadata.csv with the columns {FILE_NAME} and "
                f"{label_column} beside the images."
            )
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


def _open_split(
    card: Card, root: str | None, split: str, label_column: str | None
) -> ImageRecords:
    card = _with_column(card, label_column)
    if card.embedded is not None:
        return _DigitRecords(split)
    place = locate(card, root)
    if place is None:
        if card.hub is None:
            raise missing_data(card)
        return TableRecords(load_hub(card, split), card, f"{card.hub}[{split}]", None)
    try:
        folder, files = find_files(card, place, split)
    except InputError as error:
        if split != "test" or not place.is_dir():
            raise
        remedy = "Add one, or set data.test_share, such as 0.2, before training."
        raise InputError(
            f"{str(error).removesuffix('Check the path.')}{remedy}"
        ) from None
    if folder is None:
        return _open_parquet(files, card)
    _check_not_mixed(card, place, folder)
    return _open_folder(folder, place, card, label_column)


def _open_folder(
    folder: Path, root: Path, card: Card, label_column: str | None
) -> FolderRecords:
    """Images labelled by a table in their folder or at the root, or else by class folders."""
    table = find_label_table(folder, root)
    if table is None:
        return FolderRecords(folder)
    if label_column is not None:
        return LabelledFolder(folder, table, label_column, card)
    records = FolderRecords(folder)
    if records.labels is None:
        records.labels_absent = (
            f"no data.label_column for {table}. Set it to the column of the classes."
        )
    return records


def has_split(card: Card, root: str | None, split: str) -> bool:
    """Whether data on this machine has files of its own for a split."""
    if card.embedded is not None:
        return True
    place = locate(card, root)
    try:
        return place is not None and find_files(card, place, split) is not None
    except InputError:
        return False


def unread_folders(card: Card, root: str | None) -> list[str]:
    """Folders below the root of the data that belong to no split that is read."""
    place = locate(card, root)
    if card.embedded is not None or place is None:
        return []
    read = {
        find_files(card, place, split)[0]
        for split in ("train", "test")
        if has_split(card, root, split)
    }
    if place in read or None in read:  # all of the root, or parquet files
        return []
    with os.scandir(place) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    return sorted(
        name for name in folders if not is_hidden(name) and place / name not in read
    )


def _check_not_mixed(card: Card, root: Path, folder: Path) -> None:
    """Raise InputError where training images would be those of all splits."""
    if folder != root:
        return
    for name in card.files.get("test", ()):
        if name.endswith("/") and (test := find_folder(root, name)) is not None:
            raise InputError(
                f"data.root {root} must hold train/ beside {test.name}/, got none. "
                "Move the training images into train/."
            )


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
        return _open_named_folder(files[0], card, label_column)
    if all(file.suffix == ".parquet" for file in files):
        return _open_parquet(files, _with_column(card, label_column))
    return FileRecords(files)


def _open_named_folder(
    folder: Path, card: Card, label_column: str | None
) -> FolderRecords:
    """A folder that need not have the recipe's labels."""
    table = find_label_table(folder)
    if table is None or label_column not in read_table(table, card.text).column_names:
        return FolderRecords(folder)
    return LabelledFolder(folder, table, str(label_column), card)


def _open_parquet(files: list[Path], card: Card) -> ImageRecords:
    table = load_parquet(files)
    return TableRecords(
        table, card, files[0].name, fingerprint_paths(files, contents=True)
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


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _records: type[ImageRecords] = _DigitRecords
