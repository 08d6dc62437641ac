"""Read files of variants as tables of strings: VCF, TSV, CSV (each also gzipped), parquet."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.errors import InputError, did_you_mean, first_line
from r2mae.modalities.dna.genome.files import open_dna

PASSES = 16  # of a pseudo-log-likelihood; each masks every 16th token of a window
SCORE = "R2MAE"  # name of the column, or of the INFO key
TABLES = {".tsv": "\t", ".txt": "\t", ".csv": ",", ".parquet": ""}
_GZIP_SUFFIX = re.compile(r"\.b?gz$")
_NAMES = {
    "contig": ("contig", "chrom", "#chrom", "chromosome", "chr", "seqname"),
    "position": ("position", "pos"),
    "ref": ("ref", "reference", "reference_allele"),
    "alt": ("alt", "alternate", "alternate_allele"),
}


def kind_of(path: Path) -> str:
    """A file's suffix in lower case, without .gz or .bgz, e.g. ".vcf"."""
    return Path(_GZIP_SUFFIX.sub("", path.name.lower())).suffix


def is_zipped(path: Path) -> bool:
    """Whether a file's name ends with .gz or .bgz."""
    return _GZIP_SUFFIX.search(path.name.lower()) is not None


def read_records(path: Path) -> Any:
    """pandas: the fixed columns of a VCF, or all columns of a table.

    Cells are unchanged strings; parquet keeps its types.
    Raises: InputError for missing or damaged files and other formats.
    """
    if not path.is_file():
        raise InputError(
            f"{path} must be a file of variants, got no such file. Check the path."
        )
    return _read_vcf(path) if kind_of(path) == ".vcf" else _read_table(path)


def _read_vcf(path: Path) -> Any:
    """The eight fixed columns of a VCF, as strings."""
    with open_dna(path) as file:
        for line in file:
            if not line.startswith(b"##"):
                break
        else:
            line = b""
        names = line.decode(errors="replace").lstrip("#").split()[:8]
        if (
            not line.startswith(b"#CHROM")
            or len(names) < 5
            or len({*names}) < len(names)
        ):
            raise InputError(
                f"{path} must have a header '#CHROM POS ID REF ALT', each name once, "
                f"got {line[:60]!r}."
            )
        table = _pandas(
            path,
            file,
            sep="\t",
            header=None,
            names=names,
            usecols=range(len(names)),
            dtype=str,
            quoting=3,
        )
    cut = np.flatnonzero(table[names[4]].isna())
    if len(cut):
        raise InputError(
            f"{path}: record {cut[0] + 1:,} must have {len(names)} columns, got fewer. "
            "The file may be truncated: download it again."
        )
    return table.fillna("")


def _read_table(path: Path) -> Any:
    """A table with cells as unchanged strings; parquet keeps its types."""
    suffix = kind_of(path)
    if suffix not in TABLES:
        formats = ", ".join([".vcf", *TABLES])
        raise InputError(
            f"{path} must have a supported suffix, got {suffix!r}. "
            f"Supported, also with .gz: {formats}."
        )
    if suffix == ".parquet":
        import pandas as pd

        try:
            return pd.read_parquet(path)
        except Exception as error:
            raise InputError(
                f"{path} must be readable as parquet, got: {first_line(error)}."
            ) from None
    separator = TABLES[suffix]
    quoting = (
        csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    )  # an unpaired quote must not join rows
    with open_dna(path) as file:
        return _pandas(
            path,
            file,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            quoting=quoting,
            index_col=False,
        )


def as_strings(column: Any) -> Any:
    """A column as strings, "" for missing values."""
    return column.astype(object).where(column.notna(), "").astype(str)


def _pandas(path: Path, file: Any, **options: Any) -> Any:
    import pandas as pd

    try:
        return pd.read_csv(file, **options)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=options.get("names"), dtype=str)
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be a table, got: {first_line(error)}.") from None


def find_columns(
    path: Path, table: Any, columns: dict[str, str], one_contig: bool
) -> dict[str, str]:
    """{"contig", "position", "ref", "alt": a table's column}, "contig" optional for one_contig.

    columns: names that override the usual ones.
    Raises: InputError for missing columns, and for other keys in columns.
    """
    unknown_keys = [name for name in columns if name not in _NAMES]
    if unknown_keys:
        raise InputError(
            f"columns must name {', '.join(_NAMES)}, got {unknown_keys[0]!r}."
        )
    lower = {str(name).lower(): str(name) for name in reversed(list(table.columns))}
    names = {}
    for key, usual in _NAMES.items():
        name = columns.get(key) or _first_present(lower, usual)
        if name is None and key == "contig" and one_contig:
            continue
        if name is None or name not in table.columns:
            expected = repr(name) if name else " or ".join(usual[:2])
            raise InputError(
                f"{path} must have a column of the {key}, {expected}, got none so named. "
                f"{did_you_mean(name or key, table.columns)}"
            )
        names[key] = name
    return names


def _first_present(columns: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The table's own spelling of the first name that it has; columns: by lower case."""
    return next((columns[name] for name in names if name in columns), None)
