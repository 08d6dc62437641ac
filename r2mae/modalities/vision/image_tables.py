"""Encoded images and labels in tables: parquet files and hub data sets."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.tables import cached_table
from r2mae.errors import InputError, did_you_mean, is_full_or_forbidden
from r2mae.schema.card import Card
from r2mae.schema.launch import read_launch

Labels = npt.NDArray[np.int64]


class TableRecords:
    """Rows of encoded images, memory-mapped by the datasets library.

    title: of the data, for messages. fingerprint: None for the library's own.
    """

    def __init__(
        self, table: Any, card: Card, title: str, fingerprint: str | None
    ) -> None:
        from datasets import Image

        self.title, self.column = title, card.image_column
        if self.column not in table.column_names:
            suggestion = did_you_mean(self.column, table.column_names)
            raise InputError(
                f"{title} must have the image column {self.column!r}, "
                f"got {table.column_names}. {suggestion}"
            )
        if not len(table):
            raise InputError(
                f"{title} must hold images, got no rows. Check data.root and the card."
            )
        self.labels: Labels | None = None
        self.labels_absent = _describe_absent(card, table.column_names, title)
        self.class_names: dict[int, str] = {}
        label_column = card.label_column
        if label_column in table.column_names and label_column != self.column:
            self.labels, self.class_names = _read_labels(
                table, str(label_column), title
            )
        images = table.select_columns([self.column])
        try:
            encoded = images.cast_column(self.column, Image(decode=False))
        except (NotImplementedError, TypeError, ValueError):  # from Arrow
            kind = table.features[self.column]
            raise InputError(
                f"{title} must hold encoded images in column {self.column!r}, "
                f"got {kind}. Set image_column in the card."
            ) from None
        # Arrow's column: reading rows through the datasets library takes 4 times longer.
        self.rows = encoded.data.column(self.column)
        self.fingerprint = fingerprint or str(table._fingerprint)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> bytes:
        """Encoded bytes of an image, from its row or from the file that the row names."""
        row = self.rows[index].as_py() or {}
        if row.get("bytes") is None and row.get("path") is None:
            raise FileNotFoundError("an empty row")
        if row["bytes"] is not None:
            return bytes(row["bytes"])
        return Path(row["path"]).read_bytes()

    def name(self, index: int) -> str:
        """Title and row of an image, for messages."""
        return f"{self.title} row {index}"


def load_hub(card: Card, split: str) -> Any:
    """A split of the card's hub data set; `datasets` downloads it if needed."""
    from datasets import load_dataset

    # A download may take hours.
    bars = sys.stderr.isatty() and read_launch().is_first
    with _errors_of_datasets(f"hub data set {card.hub}", bars):
        return load_dataset(str(card.hub), split=card.splits.get(split, split))


def load_parquet(files: list[Path]) -> Any:
    """The rows of parquet files."""
    with _errors_of_datasets(", ".join(map(str, files))):
        return cached_table("parquet", files, {})


@contextmanager
def _errors_of_datasets(what: str, bars: bool = False) -> Iterator[None]:
    """The many kinds of errors of `datasets` as InputError. bars: show its progress."""
    from datasets import disable_progress_bars, enable_progress_bars
    from datasets.utils.logging import CRITICAL, set_verbosity

    if bars:
        enable_progress_bars()
    else:
        disable_progress_bars()
    set_verbosity(CRITICAL)  # else it logs an error before raising it
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if is_full_or_forbidden(cause):
            raise cause from None
        raise InputError(
            f"{what} must be readable by datasets, "
            f"got {type(cause).__name__}: {str(cause)[:200]}."
        ) from None


def _describe_absent(card: Card, columns: list[str], title: str) -> str:
    """What a table has instead of its label column, as the end of a message."""
    others = [name for name in columns if name != card.image_column]
    missing = f"no column {card.label_column!r}"
    if card.label_column is None:
        missing = "no label column in its card"
    has = f"only {', '.join(others)}" if others else "no other column than the images"
    near = did_you_mean(card.label_column or "", others) if others else ""
    remedy = near if near.startswith("Did") else "Name one in data.label_column."
    return f"{missing} in {title}, {has}. {remedy}"


def _read_labels(table: Any, column: str, title: str) -> tuple[Labels, dict[int, str]]:
    """(class numbers (N,), their names) of a column.

    Raises: InputError for empty rows and for values that cannot be sorted.
    """
    empty = table.data.column(column).null_count
    got = f"{empty} empty rows" if empty else str(table.features[column])
    try:
        if not empty:
            labels, names = encode_classes(table.with_format("numpy")[column][:])
            # ClassLabel columns of the hub name their numbers.
            class_names = getattr(table.features[column], "names", None)
            return labels, names | dict(enumerate(class_names or ()))
    except TypeError:  # values that cannot be sorted
        pass
    raise InputError(
        f"{title} must name a class in every row of column {column!r}, got {got}. "
        "Repair the rows, or set label_column: null in the card."
    )


def encode_classes(labels: Any) -> tuple[Labels, dict[int, str]]:
    """(class numbers (N,), their names) of integers or names.

    Names are numbered by a hash, so that a class has the same number in every split."""
    names, inverse = np.unique(np.asarray(labels), return_inverse=True)
    numbers = names
    if not np.issubdtype(names.dtype, np.integer):
        digests = [hashlib.sha256(str(name).encode()).digest() for name in names]
        numbers = np.array([int.from_bytes(digest[:7]) for digest in digests])
    numbers = numbers.astype(np.int64)
    return numbers[inverse], dict(zip(numbers.tolist(), map(str, names), strict=True))
