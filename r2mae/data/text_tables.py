"""Tables with texts: JSON lines, CSV, TSV, parquet and Arrow files, also compressed."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from r2mae.data.bad_rows import BadRows
from r2mae.data.delimited import Format, rewrite
from r2mae.data.tables import Prepared, cached_table
from r2mae.data.text_stream import (
    check_text,
    find_encoding,
    is_compressed,
    is_unicode,
    open_bytes,
    open_text,
    suffix_of,
)
from r2mae.errors import InputError, did_you_mean, first_line, is_full_or_forbidden

BUILDERS = {  # of the `datasets` library
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_SKIPPED = "skipped.json"  # bad rows that a cached table lacks
# "NA" and "null" are texts: only an empty field is missing.
# Numbers are those of Python: pandas' own parser reads 0 in a field of 20 zeros and 1.5,
# and refuses 0e400.
_READ_CSV = {
    "index_col": False,
    "keep_default_na": False,
    "na_values": [""],
    "float_precision": "round_trip",
}


def kind_of(path: Path) -> str | None:
    """The builder of `datasets` for a table of this name; None for any other file."""
    return BUILDERS.get(suffix_of(path))


def read_table(
    path: Path, options: dict[str, Any], bad_rows: BadRows | None = None
) -> Any:
    """Rows of a table, mapped from disk by `datasets`.

    options: `text` of a data card.
    bad_rows: skips and counts them; None to refuse them.

    Raises: InputError for invalid UTF-8, bad rows, and files whose content is not that
        of their suffix.
    """
    import datasets

    bad_rows = bad_rows or BadRows()
    kind = kind_of(path)
    assert kind is not None
    prepare = _Preparation(
        kind,
        _format(path, options),
        encoding_named(path, options),
        bad_rows.skip,
        bad_rows.remedy,
    )
    datasets.disable_progress_bars()
    # Failures are reported in our line.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        rows = cached_table(kind, [path], _READ_CSV if kind == "csv" else {}, prepare)
    except InputError:
        raise
    except Exception as error:
        if "corresponds to no data" in str(error):
            raise InputError(
                f"{path} must hold rows, got none. Leave it out."
            ) from None
        cause = error.__cause__ or error
        if is_full_or_forbidden(cause) and cause.filename != str(path):
            raise cause from None  # of the cache
        raise InputError(
            f"{path} must be readable as {kind}, got: {first_line(cause)}."
        ) from None
    _repeat_skipped(rows, bad_rows)
    return rows


def encoding_named(path: Path, options: dict[str, Any]) -> str:
    """A file's encoding: one for all, or by the names of those that differ from UTF-8."""
    named: str | dict[str, str] = options.get("encoding", "utf-8")
    return named if isinstance(named, str) else named.get(path.name, "utf-8")


def _format(path: Path, options: dict[str, Any]) -> Format:
    separator = "\t" if suffix_of(path) == ".tsv" else ","
    columns = options.get("columns")
    return Format(
        str(options.get("separator", separator)),
        options.get("quoting"),
        None if columns is None else tuple(columns),
    )


@dataclass(frozen=True)
class _Preparation:
    """Converts a file for `datasets`: decompressed, in UTF-8, with well-formed rows.

    skip: leave out bad rows, and list them in the table's folder.
    """

    kind: str
    form: Format
    encoding: str
    skip: bool
    remedy: str = field(repr=False)  # of errors: not part of the table

    def __call__(self, path: Path, folder: Path) -> Prepared:
        """The file itself, or another one in the folder."""
        target = folder / f"rows_of.{self.kind}"
        options: dict[str, Any] = {}
        if self.kind in ("parquet", "arrow"):
            is_plain = not is_compressed(path)
            return Prepared(path if is_plain else _decompressed(path, target))
        if not self.skip:
            check_text(path, self.encoding)
        encoding, mark = find_encoding(path, self.encoding)
        bad_rows = BadRows(skip=self.skip, remedy=self.remedy)
        errors = "surrogateescape" if self.skip else "strict"

        def opened() -> Any:
            return open_text(path, self.encoding, errors)

        if self.kind == "csv":
            types = rewrite(opened, self.form, target, path, bad_rows)
            options = {"features": _features(types)}
        elif self.skip and suffix_of(path) == ".jsonl":
            with opened() as text, target.open("w", encoding="utf-8") as file:
                _keep_objects(text, file, path, bad_rows)
        elif is_compressed(path) or mark or encoding != "utf-8":
            with opened() as text, target.open("w", encoding="utf-8") as file:
                shutil.copyfileobj(text, file)
        else:
            return Prepared(path)
        skipped = {"numbers": bad_rows.numbers, "examples": bad_rows.examples}
        (folder / _SKIPPED).write_text(json.dumps(skipped))
        return Prepared(target, options)


def _features(types: dict[str, str]) -> Any:
    """Columns of these types."""
    import datasets

    return datasets.Features(
        {name: datasets.Value(kind) for name, kind in types.items()}
    )


def _decompressed(path: Path, target: Path) -> Path:
    with open_bytes(path) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    return target


def _keep_objects(
    text: IO[str], target: IO[str], where: Path, bad_rows: BadRows
) -> None:
    """Copy lines that are JSON objects."""
    lines = (line for line in text if line.strip())
    for number, line in enumerate(lines):
        try:
            is_object = is_unicode(line) and isinstance(json.loads(line), dict)
        except ValueError:
            is_object = False
        if is_object:
            target.write(line.rstrip("\r\n") + "\n")
        else:
            at = f"{where}: row {number}"
            bad_rows.reject(number, f"{at} must be a JSON object, got {line[:40]!r}.")


def _repeat_skipped(rows: Any, bad_rows: BadRows) -> None:
    """Add the bad rows that were left out when the table was converted."""
    listed = Path(rows.cache_files[0]["filename"]).parent / _SKIPPED
    if listed.is_file():
        skipped = json.loads(listed.read_text())
        bad_rows.numbers += skipped["numbers"]
        bad_rows.examples += skipped["examples"]


def rename(rows: Any, options: dict[str, Any]) -> Any:
    """Rows whose columns have the names that `text.rename` of a data card gives them, {old: new}."""
    names = {
        old: new
        for old, new in options.get("rename", {}).items()
        if old in rows.column_names
    }
    return rows.rename_columns(names) if names else rows


def select_column(rows: Any, column: str, where: str) -> Any:
    """Rows with this column; "a.b" names the entry b of the objects in column a.

    Raises: InputError where there is no such column.
    """
    if column not in rows.column_names:
        rows = rows.flatten()  # nested objects become columns with dotted names
    check_column(rows.column_names, column, where)
    return rows


def check_column(names: list[str], column: str, where: str) -> None:
    """Raise InputError unless column is one of names."""
    if column not in names:
        raise InputError(
            f"{where} must have the column {column!r}, got {', '.join(names)}. "
            f"{did_you_mean(column, names)}"
        )
