"""Contents of a file of cells, before genes are chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r2mae.errors import InputError


@dataclass(frozen=True)
class Contents:
    """N cells by F features.

    obs: (N rows) a DataFrame, whose index names the cells. var: (F rows) of features.
    matrix: name of the chosen matrix. place: its path in the HDF5 file or zarr folder.
    matrices: name -> path of all matrices.
    in_memory: the CSR matrix (N, F) of formats that cannot be read in blocks, else None.
    by_gene: the dense matrix is stored as (F, N).
    left_out: modality -> number of its features, which are not read.
    """

    obs: Any
    var: Any
    matrix: str
    place: str = ""
    matrices: Mapping[str, str] = field(default_factory=dict)
    in_memory: Any = None
    by_gene: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

    def moved(
        self, place: str, prefix: str, obs: Any, left_out: Mapping[str, int]
    ) -> "Contents":
        """The same contents, with paths from the root of the container."""
        return replace(
            self,
            obs=obs,
            matrix=prefix + self.matrix,
            place=place + self.place,
            matrices={prefix + name: place + at for name, at in self.matrices.items()},
            left_out=left_out,
        )


def check_matrix(path: Path, matrix: str, matrices: Mapping[str, str]) -> None:
    """Raise InputError unless a file has this matrix. matrices: all, by name."""
    if matrix not in matrices:
        raise InputError(
            f"{path} must have the matrix {matrix!r}, got {', '.join(matrices) or 'none'}. "
            "Name another one: data.matrix, or --matrix."
        )
