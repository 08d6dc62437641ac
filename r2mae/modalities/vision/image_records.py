"""Where encoded images and their labels lie: a folder, parquet files, the hub, or an embedded array."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from r2mae.data.card import find_files, locate
from r2mae.data.fingerprint import fingerprint_array, fingerprint_files
from r2mae.errors import InputError, did_you_mean
from r2mae.schema.card import Card

Labels = npt.NDArray[np.int64]
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
    """Encoded images by index; `name` is what a message calls one, `class_names` what it calls a class number.

    labels_absent: where labels are None, what there is instead and the remedy, as the end of a message.
    """

    labels: Labels | None
    labels_absent: str
    class_names: dict[int, str]
    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | npt.NDArray[np.uint8]:
        """Encoded bytes, or pixels (H, W, C) where the data is no file."""
        ...

    def name(self, index: int) -> str:
        """Where the image lies."""
        ...


def open_records(
    card: Card, root: str | None, split: str, label_column: str | None = None
) -> ImageRecords:
    """The images of a card's split.

    label_column: one that must be there, instead of the card's, which need not.

    Raises: InputError for missing folders, files, columns and embedded sets, and for empty splits.
    """
    card = _with_column(card, label_column)
    records = _open_split(card, root, split)
    if label_column is not None and (
        records.labels is None or not isinstance(records, _TableRecords)
    ):
        without = f"{label_column!r} for data without columns. Leave it out: class folders name the classes."
        got = records.labels_absent if isinstance(records, _TableRecords) else without
        raise InputError(f"data.label_column must be a column of the data, got {got}")
    return records


def _with_column(card: Card, label_column: str | None) -> Card:
    return (
        card
        if label_column is None
        else card.model_copy(update={"label_column": label_column})
    )


def _open_split(card: Card, root: str | None, split: str) -> ImageRecords:
    if card.embedded is not None:
        return _DigitRecords(split)
    place = locate(card, root)
    if place is None:
        if card.hub is None:
            raise InputError(
                "data.root must be given for this card, got nothing. Name the folder of your images."
            )
        return _TableRecords(_load_hub(card, split), card, f"{card.hub}[{split}]", None)
    folder, files = find_files(card, place, split)
    return _FolderRecords(folder) if folder is not None else _open_parquet(files, card)


def open_record_paths(
    card: Card, paths: list[str], label_column: str | None = None
) -> ImageRecords:
    """The images of one folder, of parquet files, or of image files that a user names.

    label_column: instead of the card's; neither need be there.

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
    table = _load_table(
        "parquet",
        ", ".join(map(str, files)),
        data_files=[str(path) for path in files],
        split="train",
    )
    return _TableRecords(table, card, files[0].name, _fingerprint(files, contents=True))


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
                    f"{path} must be an image ({', '.join(sorted(_SUFFIXES))})."
                )
        # Contents of a million files are not read; names and sizes tell data sets apart.
        self.fingerprint = _fingerprint(paths, contents=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        return self.paths[index].read_bytes()

    def name(self, index: int) -> str:
        return str(self.paths[index])


class _FolderRecords(_FileRecords):
    """Image files below a folder; the first folder level names the classes where there is one."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in _SUFFIXES and path.is_file()
        )
        if not paths:
            raise InputError(
                f"data.root {folder} must hold images ({', '.join(sorted(_SUFFIXES))}), got none."
            )
        super().__init__(paths)
        classes = [path.relative_to(folder).parts[0] for path in self.paths]
        loose = [path for path in self.paths if path.parent == folder]
        remedy = "Put each image into a folder that is named like its class."
        self.labels_absent = (
            f"images outside class folders, the first {loose[0]}. {remedy}"
            if loose
            else ""
        )
        self.labels, self.class_names = (None, {}) if loose else _encode(classes)


class _TableRecords:
    """Rows with encoded image bytes, memory-mapped by `datasets`."""

    def __init__(
        self, table: Any, card: Card, title: str, fingerprint: str | None
    ) -> None:
        from datasets import Image

        self.title, self.column = title, card.image_column
        if self.column not in table.column_names:
            known = did_you_mean(self.column, table.column_names)
            raise InputError(
                f"{title} must have the image column {self.column!r}, got {table.column_names}. {known}"
            )
        if not len(table):
            raise InputError(f"{title} must hold images, got no rows.")
        self.labels: Labels | None = None
        self.labels_absent = _say_absent(card, table.column_names, title)
        self.class_names: dict[int, str] = {}
        if card.label_column in table.column_names and card.label_column != self.column:
            self.labels, self.class_names = _read_labels(
                table, str(card.label_column), title
            )
        try:
            encoded = table.select_columns([self.column]).cast_column(
                self.column, Image(decode=False)
            )
        except (
            NotImplementedError,
            TypeError,
            ValueError,
        ):  # Arrow's ways to refuse a cast
            kind = table.features[self.column]
            raise InputError(
                f"{title} must hold encoded images in column {self.column!r}, got {kind}."
            ) from None
        self.rows = encoded.data.column(
            self.column
        )  # Arrow's own column: rows through `datasets` cost 4 times more
        self.fingerprint = fingerprint or str(table._fingerprint)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> bytes:
        row = self.rows[index].as_py() or {}
        if row.get("bytes") is None and row.get("path") is None:
            raise FileNotFoundError("an empty row")
        return (
            row["bytes"] if row["bytes"] is not None else Path(row["path"]).read_bytes()
        )

    def name(self, index: int) -> str:
        return f"{self.title} row {index}"


class _DigitRecords:
    """scikit-learn's scanned digits: the first 1,437 train, the last 360 test, as its examples split them."""

    def __init__(self, split: str) -> None:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        rows = slice(0, 1437) if split == "train" else slice(1437, None)
        self.pixels = (pixels[rows].reshape(-1, 8, 8, 1) * 15).astype(
            np.uint8
        )  # 17 grey levels, 0..16
        self.labels: Labels | None
        self.labels, self.class_names = _encode(labels[rows])
        self.labels_absent = ""
        self.fingerprint = fingerprint_array(self.pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        pixels: npt.NDArray[np.uint8] = self.pixels[index]
        return pixels

    def name(self, index: int) -> str:
        return f"digit {index}"


def _load_hub(card: Card, split: str) -> Any:
    return _load_table(
        str(card.hub), f"hub data set {card.hub}", split=card.splits.get(split, split)
    )


def _load_table(builder: str, what: str, **arguments: Any) -> Any:
    """`datasets.load_dataset`, its many kinds of failure as one."""
    from datasets import disable_progress_bars, load_dataset
    from datasets.utils.logging import CRITICAL, set_verbosity

    disable_progress_bars()
    set_verbosity(CRITICAL)  # or it prints a failure before it is raised
    try:
        return load_dataset(builder, **arguments)
    except Exception as error:
        cause = error.__cause__ or error
        raise InputError(
            f"{what} must be readable by datasets, got {type(cause).__name__}: {str(cause)[:200]}."
        ) from None


def _say_absent(card: Card, columns: list[str], title: str) -> str:
    """What a table has instead of its label column."""
    others = [name for name in columns if name != card.image_column]
    wanted = (
        "no label column in its card"
        if card.label_column is None
        else f"no column {card.label_column!r}"
    )
    has = f"only {', '.join(others)}" if others else "no other column than the images"
    near = did_you_mean(card.label_column or "", others) if others else ""
    return f"{wanted} in {title}, {has}. {near if near.startswith('Did') else 'Name one in data.label_column.'}"


def _read_labels(table: Any, column: str, title: str) -> tuple[Labels, dict[int, str]]:
    empty = table.data.column(column).null_count
    got = f"{empty} empty rows" if empty else str(table.features[column])
    try:
        if not empty:
            labels, names = _encode(table.with_format("numpy")[column][:])
            given = getattr(
                table.features[column], "names", None
            )  # of the hub's ClassLabel columns
            return labels, names | dict(enumerate(given or ()))
    except TypeError:  # what cannot be sorted names no class
        pass
    remedy = "Mend the rows, or set label_column: null in the card."
    raise InputError(
        f"{title} must name a class in every row of column {column!r}, got {got}. {remedy}"
    )


def _fingerprint(files: list[Path], contents: bool) -> str:
    whole = [path.absolute() for path in files]
    return fingerprint_files(
        Path(os.path.commonpath([path.parent for path in whole])), whole, contents
    )


def _encode(labels: Any) -> tuple[Labels, dict[int, str]]:
    """Class numbers (N,) and their names: whole numbers as they are, words by a hash, so that splits number alike."""
    names, inverse = np.unique(np.asarray(labels), return_inverse=True)
    numbers = names
    if not np.issubdtype(names.dtype, np.integer):
        numbers = np.array(
            [
                int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:7])
                for name in names
            ]
        )
    numbers = numbers.astype(np.int64)
    return numbers[inverse], dict(zip(numbers.tolist(), map(str, names), strict=True))


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _records: type[ImageRecords] = _FileRecords
    _records_2: type[ImageRecords] = _TableRecords
    _records_3: type[ImageRecords] = _DigitRecords
