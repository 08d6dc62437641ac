"""Counts of a file's genes in blocks of cells, each of them checked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.errors import InputError
from r2mae.modalities.cell.cell_input import looks_normalized
from r2mae.modalities.cell.data.containers import is_array, open_container
from r2mae.modalities.cell.data.contents import Contents
from r2mae.modalities.cell.data.features import Features
from r2mae.modalities.cell.data.matrix import as_numbers, read_blocks

Values = Literal["counts", "scaled"]
_MAX_COUNT = (1 << 31) - 1  # of a gene of a cell; a store holds 32 bits
_MAX_SCALED = 1e9  # models square values in float32
_NUM_LOOKED_AT = 50  # cells of a block that is to be rounded


@dataclass(frozen=True)
class CellFile:
    """One file: N cells by G genes, read from N cells by F features.

    round_counts: round counts that are not whole.
    """

    path: Path
    contents: Contents
    features: Features
    cell_names: npt.NDArray[np.str_]
    round_counts: bool = False

    def __len__(self) -> int:
        return len(self.cell_names)

    @property
    def matrix(self) -> str:
        """Name of the matrix, such as X, or matrix in a 10x file."""
        return self.contents.matrix

    @property
    def gene_names(self) -> list[str]:
        """(G,) all different."""
        return self.features.gene_names

    @property
    def num_features(self) -> int:
        """F, columns of the stored matrix."""
        return len(self.features.columns)

    @property
    def obs(self) -> Any:
        """A DataFrame of N rows."""
        return self.contents.obs

    @property
    def left_out(self) -> dict[str, int]:
        """Number of features of each type that are no genes."""
        return {**self.contents.left_out, **self.features.left_out}

    def blocks(
        self,
        values: Values,
        start: int = 0,
        changes: Counter[str] | None = None,
    ) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """(index of the first cell, CSR matrix of consecutive cells), from cell `start` on.

        changes: counts what is done to entries, "doubled" ones and "rounded" ones.

        Raises: InputError for a damaged file, or naming the first entry that is not a count.
        """
        changes = Counter() if changes is None else changes
        for first, features, num_doubled in read_blocks(self, start):
            changes["doubled"] += num_doubled
            block = select_columns(
                features, self.features.columns, len(self.gene_names)
            )
            if self.features.num_summed:
                block.sum_duplicates()
            if self.round_counts and values == "counts":
                _check_not_normalized(self, block)
                changes["rounded"] += _round(block)
            _check_block(self, first, block, values)
            yield first, block


def select_columns(
    block: sparse.csr_matrix, columns: npt.NDArray[np.int32], width: int
) -> sparse.csr_matrix:
    """(B, width) matrix with each column of block (B, F) at columns[F]; -1 leaves it out."""
    if np.array_equal(columns, np.arange(width)):
        return block
    numbers = columns[block.indices]
    is_included = numbers >= 0
    counts = np.concatenate([[0], np.cumsum(is_included)])
    parts = (block.data[is_included], numbers[is_included], counts[block.indptr])
    chosen = sparse.csr_matrix(parts, shape=(block.shape[0], width))
    chosen.sort_indices()
    return chosen


def _check_not_normalized(file: CellFile, block: sparse.csr_matrix) -> None:
    """Raise InputError where rounding would make counts of normalized values."""
    num_cells = min(block.shape[0], _NUM_LOOKED_AT)
    cells = np.split(block.data[: block.indptr[num_cells]], block.indptr[1:num_cells])
    positive = [values[values > 0] for values in cells]
    if looks_normalized(positive):
        example = min(values.min() for values in positive if len(values))
        raise InputError(
            f"{file.path}: {file.matrix} must hold counts corrected for ambient RNA to be "
            f"rounded, got normalized ones, such as {example:g}. "
            f"{_raw_elsewhere(file, np.nan)}"
        )


def _round(block: sparse.csr_matrix) -> int:
    """Round positive values in place, half to even. Returns: the number of values changed."""
    data = block.data
    is_fraction = np.isfinite(data) & (data > 0) & (data != np.round(data))
    data[is_fraction] = np.round(data[is_fraction])
    return int(is_fraction.sum())


def _check_block(
    file: CellFile, first: int, block: sparse.csr_matrix, values: Values
) -> None:
    """Raise InputError for values that are not finite, too large or, as counts, not raw."""
    data = block.data
    is_counts = values == "counts"
    with np.errstate(invalid="ignore"):
        is_small = np.abs(data) <= (_MAX_COUNT if is_counts else _MAX_SCALED)
        is_raw = (data >= 0) & (data == np.round(data))
    is_finite = np.isfinite(data)
    good = is_finite & is_small & (is_raw | (not is_counts))
    if good.all():
        return
    entry = int(np.flatnonzero(~good)[0])
    cell = first + int(np.searchsorted(block.indptr, entry, side="right")) - 1
    gene = file.gene_names[int(block.indices[entry])]
    if is_finite[entry] and not is_small[entry]:
        most = f"{_MAX_COUNT:,}" if is_counts else f"{_MAX_SCALED:g}"
        rule, remedy = f"values of at most {most}", "Correct the value."
    elif is_counts:
        rule = "raw counts (non-negative integers)"
        remedy = _raw_elsewhere(file, float(data[entry]))
    else:
        rule, remedy = "finite values", "Correct the value."
    raise InputError(
        f"{file.path}: {file.matrix} must hold {rule}, got {data[entry]:g} for {gene} in cell "
        f"{file.cell_names[cell]}. {remedy}"
    )


def _raw_elsewhere(file: CellFile, value: float) -> str:
    """A remedy that names another matrix of the file with raw counts, if one has them."""
    paths = file.contents.matrices
    if file.contents.in_memory is None:
        with open_container(file.path) as opened:
            for name, place in paths.items():
                if name != file.matrix and looks_raw(_first_values(opened[place])):
                    return f"{name} looks raw: choose it by data.matrix, or --matrix."
    remedy = "No other matrix of the file looks raw: get a file with raw counts."
    if np.isfinite(value) and value >= 0:
        rounded = "data.round_counts: true, or --round-counts"
        remedy += f" Round counts that were corrected for ambient RNA: {rounded}."
    return remedy


def _first_values(matrix: Any) -> npt.NDArray[Any]:
    """The first entries of a stored matrix."""
    first: npt.NDArray[Any] = (
        matrix[:50] if is_array(matrix) else matrix["data"][:100_000]
    )
    return first


def looks_raw(sample: npt.NDArray[Any]) -> bool:
    """Whether values are non-negative integers; not where there are none."""
    if sample.dtype.kind not in "biuf" or not sample.size:
        return False
    sample = as_numbers(sample)
    return bool((sample >= 0).all() and np.array_equal(sample, np.round(sample)))
