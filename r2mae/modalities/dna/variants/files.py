"""Files of variants as tables of words: VCF, TSV and CSV, zipped or not, and parquet."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.errors import InputError, did_you_mean, first_line
from r2mae.modalities.dna.genome.files import open_dna

SCORE = "R2MAE"  # of the column, or of INFO's key
TABLES = {".tsv": "\t", ".txt": "\t", ".csv": ",", ".parquet": ""}
_ZIPPED = re.compile(r"\.b?gz$")
_NAMES = {
    "contig": ("contig", "chrom", "#chrom", "chromosome", "chr", "seqname"),
    "position": ("position", "pos"),
    "ref": ("ref", "reference", "reference_allele"),
    "alt": ("alt", "alternate", "alternate_allele"),
}


def kind_of(path: Path) -> str:
    """A file's ending, in lower case and without that of its zipping: ".vcf", say."""
    return Path(_ZIPPED.sub("", path.name.lower())).suffix


def is_zipped(path: Path) -> bool:
    """Whether a file's name ends as that of a zipped one."""
    return _ZIPPED.search(path.name.lower()) is not None


def read_records(path: Path) -> Any:
    """pandas: the fixed columns of a VCF, or all of a table, words as they stand there; parquet has types.

    Raises: InputError for files that are not there, damaged or of another kind.
    """
    if not path.is_file():
        raise InputError(
            f"{path} must be a file of variants, got nothing there. Check the path."
        )
    return _read_vcf(path) if kind_of(path) == ".vcf" else _read_table(path)


def _read_vcf(path: Path) -> Any:
    """The eight fixed columns of a VCF, as words."""
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
                f"{path} must have a line of '#CHROM POS ID REF ALT', each once, got {line[:60]!r}."
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
            f"{path}: record {cut[0] + 1:,} must have {len(names)} columns, got fewer. The file may be cut off: "
            "fetch it again."
        )
    return table.fillna("")


def _read_table(path: Path) -> Any:
    """A table whose cells are words as they stand there; parquet has types."""
    suffix = kind_of(path)
    if suffix not in TABLES:
        known = ", ".join([".vcf", *TABLES])
        raise InputError(
            f"{path} must be of a known kind, got {suffix!r}. Known, also with .gz: {known}."
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
    )  # a lone quote must not swallow rows
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


def words_of(column: Any) -> Any:
    """A column of words, "" where there is none."""
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
    path: Path, table: Any, given: dict[str, str], one_contig: bool
) -> dict[str, str]:
    """What a table calls contig, position, ref and alt; where the genome has one contig, it need not have the first.

    Raises: InputError for missing columns, and for given names of anything else.
    """
    strange = [name for name in given if name not in _NAMES]
    if strange:
        raise InputError(f"columns must name {', '.join(_NAMES)}, got {strange[0]!r}.")
    lower = {str(name).lower(): str(name) for name in reversed(list(table.columns))}
    found = {}
    for what, usual in _NAMES.items():
        name = given.get(what) or next(
            (lower[word] for word in usual if word in lower), None
        )
        if name is None and what == "contig" and one_contig:
            continue
        if name is None or name not in table.columns:
            wanted = repr(name) if name else " or ".join(usual[:2])
            known = did_you_mean(name or what, table.columns)
            raise InputError(
                f"{path} must have a column of the {what}, {wanted}, got none so named. {known}"
            )
        found[what] = name
    return found
