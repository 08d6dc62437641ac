"""Variants of a file: single-nucleotide ones (SNVs) as arrays, longer ones beside them."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import Integers
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.dna.genome.bases import Codes


@dataclass(frozen=True)
class LongVariants:
    """L insertions, deletions and substitutions of several bases, in the order of their file."""

    contigs: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # 0-based, of REF's first base
    refs: list[str] = field(default_factory=list)  # upper-case letters
    alts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # 0-based record of the file
    alleles: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: list[int]) -> "LongVariants":
        """The variants at these indices."""
        lists: dict[str, Any] = {}
        for name, values in vars(self).items():
            lists[name] = [values[row] for row in rows]
        return LongVariants(**lists)

    def append(
        self, contig: int, position: int, ref: str, alt: str, row: int, allele: int
    ) -> None:
        """Add a variant."""
        self.contigs.append(contig)
        self.positions.append(position)
        self.refs.append(ref)
        self.alts.append(alt)
        self.rows.append(row)
        self.alleles.append(allele)


@dataclass(frozen=True)
class Variants:
    """V single-nucleotide variants, in the order of their file."""

    called: str  # the file's name, for messages
    contigs: Integers  # (V,) indices into the genome's contigs
    positions: Integers  # (V,) 0-based, within the contig
    ref: Codes  # (V,) 0-3
    alt: Codes  # (V,) 0-3
    rows: Integers  # (V,) 0-based record of the file
    alleles: Integers  # (V,) 0-based index among the record's ALT alleles
    table: Any  # (V rows) pandas: all columns of the file, unchanged
    names: dict[str, str]  # the file's columns of contig, position, ref and alt
    skipped: dict[str, int]  # number of alleles left out, by reason
    mismatches: list[str]  # the first five whose REF differs from the genome
    records: Any = None  # pandas: all records of the file, for longer variants
    longer: LongVariants = field(default_factory=LongVariants)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Integers) -> "Variants":
        """The variants at these indices."""
        arrays = {
            name: getattr(self, name)[rows]
            for name in ("contigs", "positions", "ref", "alt", "rows", "alleles")
        }
        table = self.table.iloc[rows].reset_index(drop=True)
        return replace(self, **arrays, table=table)

    def column(self, name: str) -> npt.NDArray[Any]:
        """(V,) values of a column, or of an INFO key ("" where a record lacks it).

        Raises: InputError, which names a similar column, where there is none.
        """
        if name in self.table.columns:
            return np.asarray(self.table[name])
        keys: set[str] = set()
        if "INFO" in self.table.columns:
            info = self.table["INFO"]
            values = info.str.extract(rf"(?:^|;){re.escape(name)}=([^;]*)")[0]
            if values.notna().any():
                return np.asarray(values.fillna(""))
            keys = set(re.findall(r"(?:^|;)([^=;]+)=", ";".join(info.head(100))))
        available = [*self.table.columns, *sorted(keys)]
        raise InputError(
            f"{self.called} must have a column {name!r}, got none so named. "
            f"{did_you_mean(name, available)}"
        )
