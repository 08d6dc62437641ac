"""Variants of single bases from VCF or tables, checked against the genome that they are of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.datasets.bases import Codes
from r2mae.datasets.genome_store import Integers


@dataclass(frozen=True)
class Variants:
    """V single-base variants, in the order of their file."""

    called: str
    contigs: Integers  # (V,) numbers of the genome's contigs
    positions: Integers  # (V,) from 0 within the contig
    ref: Codes  # (V,) 0-3
    alt: Codes  # (V,) 0-3
    rows: Integers  # (V,) which record of the file, from 0
    alleles: Integers  # (V,) which of the record's ALTs, from 0
    table: Any  # (V rows) pandas: all columns of the file, as they stand there
    skipped: dict[str, int]  # records or alleles left out, by why

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> npt.NDArray[Any]:
        """(V,) values of a column, or of a key of INFO in a VCF."""
        return np.asarray(self.table[name])
