"""A folder of images with a table beside them, such as metadata.csv, that names their labels."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.bad_rows import BadRows
from r2mae.data.fingerprint import fingerprint_array, fingerprint_bytes
from r2mae.data.text_tables import check_column, read_table
from r2mae.errors import InputError
from r2mae.modalities.vision.image_folder import FolderRecords
from r2mae.modalities.vision.image_tables import encode_classes
from r2mae.schema.card import Card

FILE_NAME = "file_name"  # the column, as in ImageFolder of `datasets`
_SUFFIXES = (".csv", ".tsv", ".jsonl")
_TABLES = [f"{stem}{suffix}" for stem in ("metadata", "labels") for suffix in _SUFFIXES]


def find_label_table(*folders: Path) -> Path | None:
    """The first metadata.csv or labels.csv, also .tsv or .jsonl, in one of the folders."""
    places = [folder / name for folder in folders for name in _TABLES]
    return next((place for place in places if place.is_file()), None)


class LabelledFolder(FolderRecords):
    """Images of a folder and the classes that a table names; -1 for an image without one.

    table: has a column file_name of paths, absolute or relative to its own folder, and the
        column label_column. A row without a class labels no image.
    note: on rows that name no image of the folder; empty without any.

    Raises: InputError for missing columns, for an image with two classes, where more than
        half of the rows that lie in the folder name no image, and where no image has a
        class.
    """

    def __init__(
        self, folder: Path, table: Path, label_column: str, card: Card
    ) -> None:
        super().__init__(folder)
        rows = read_table(table, card.text)
        for column in (FILE_NAME, label_column):
            check_column(rows.column_names, column, str(table))
        bad_rows = BadRows(skip=True)
        named = self._images_named(rows[FILE_NAME][:], table, bad_rows)
        values = _without_fractions(rows[label_column][:])
        if any(isinstance(value, list | dict) for value in values):
            kind = rows.features[label_column]
            raise InputError(
                f"{table} must name classes in column {label_column!r}, got {kind}. "
                "Write one text or number a row."
            )
        classes = self._classes(named, values, table)
        if not classes:
            raise InputError(
                f"{table} must name a class of an image in {folder}, got none. Paths in "
                f"{FILE_NAME} are relative to {table.parent}."
            )
        numbers, self.class_names = encode_classes(list(classes.values()))
        self.labels = np.full(len(self), -1, np.int64)
        self.labels[list(classes)] = numbers
        self.labels_absent, self.note = "", bad_rows.note
        self.fingerprint = fingerprint_bytes(
            self.fingerprint + fingerprint_array(self.labels)
        )
        if table.parent == folder:  # it is read
            self.other_files = self.other_files | {
                table.suffix: self.other_files[table.suffix] - 1
            }

    def _images_named(
        self, names: list[Any], table: Path, bad_rows: BadRows
    ) -> list[int | None]:
        """The image of each row; None for a row outside the folder, as of another split, and for a bad one."""
        prefix = os.path.join(os.path.abspath(self.folder), "")
        origin = os.path.join(os.path.abspath(table.parent), "")
        images = {prefix + name: image for image, name in enumerate(self.images)}
        named: list[int | None] = []
        inside = 0
        for row, name in enumerate(names):
            path = os.path.normpath(os.path.join(origin, str(name)))
            named.append(images.get(path))
            if path.startswith(prefix):
                inside += 1
                if named[-1] is None:
                    at = f"{table} row {row}"
                    bad_rows.reject(row, f"{at} must name an image, got {name}.")
        bad_rows.check_few(inside, str(table))
        return named

    def _classes(
        self, named: list[int | None], values: list[Any], table: Path
    ) -> dict[int, Any]:
        """image -> its class, of rows that name both."""
        classes: dict[int, Any] = {}
        for image, value in zip(named, values, strict=True):
            if image is None or value is None:
                continue
            if classes.setdefault(image, value) != value:
                raise InputError(
                    f"{table} must name one class of {self.images[image]}, got "
                    f"{classes[image]} and {value}. Remove a row."
                )
        return classes


def _without_fractions(values: list[Any]) -> list[Any]:
    """Whole numbers as such: a column with empty fields is read as floats."""
    numbers = [value for value in values if isinstance(value, float)]
    if not numbers or not all(number.is_integer() for number in numbers):
        return values
    return [None if value is None else int(value) for value in values]
