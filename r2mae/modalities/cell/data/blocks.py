"""Read a file's count matrix in blocks of cells, checking each block.

Matrices are dense, CSR or CSC in an .h5ad, CSC in a 10x .h5, or CSR in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.errors import InputError, first_line

Values = Literal["counts", "scaled"]
BLOCK_ENTRIES = 4_000_000  # in memory at once: 32 MB of values and gene indices


@dataclass(frozen=True)
class CellFile:
    """One file: N cells by G genes.

    matrix: "X", "raw" or "layers[NAME]" of an .h5ad; "matrix" of 10x files.
    in_memory: the CSR matrix (N, G) of formats that cannot be read in blocks, else None.
    """

    path: Path
    matrix: str
    gene_names: list[str]
    cell_names: npt.NDArray[np.str_]
    obs: Any  # a DataFrame
    in_memory: Any = None

    def __len__(self) -> int:
        return len(self.cell_names)

    def blocks(
        self, values: Values, start: int = 0
    ) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """(index of the first cell, CSR matrix of consecutive cells), from cell `start` on.

        Raises: InputError for a damaged file, or naming the first entry that is not a count.
        """
        for first, block in _read(self, start):
            _check_block(self, first, block, values)
            yield first, block


def matrices(file: Any) -> dict[str, str]:
    """Name -> HDF5 path of every matrix in an .h5ad."""
    paths = {"X": "X"} if "X" in file else {}
    if "raw/X" in file:
        paths["raw"] = "raw/X"
    return paths | {
        f"layers[{name}]": f"layers/{name}" for name in file.get("layers", {})
    }


def _read(file: CellFile, start: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
    if file.in_memory is not None:
        csr = file.in_memory
        yield from _csr_blocks(file, start, csr.indptr, csr.data, csr.indices)
        return
    import h5py

    try:
        with h5py.File(file.path, "r") as opened:
            matrix = (
                opened["matrix"]
                if file.matrix == "matrix"
                else opened[matrices(opened)[file.matrix]]
            )
            if isinstance(matrix, h5py.Dataset):
                step = max(1, BLOCK_ENTRIES // max(1, matrix.shape[1]))
                for first in range(start, len(file), step):
                    yield first, sparse.csr_matrix(matrix[first : first + step])
                return
            old_format = matrix.attrs.get("h5sparse_format", "csr")
            format_ = matrix.attrs.get("encoding-type", old_format)
            is_csc = format_ in ("csc_matrix", "csc")
            blocks = _csc_blocks if is_csc else _csr_blocks
            yield from blocks(
                file, start, matrix["indptr"][:], matrix["data"], matrix["indices"]
            )
    except (OSError, KeyError) as error:
        raise InputError(
            f"{file.path} must be a whole HDF5 file, got: {first_line(error)}. Copy it again."
        ) from None


def _check_pointers(
    file: CellFile, pointers: Any, lines: int, data: Any, indices: Any
) -> None:
    damaged = (
        len(pointers) != lines + 1
        or pointers[0] != 0
        or bool((np.diff(pointers) < 0).any())
    )
    if damaged or not pointers[-1] == data.shape[0] == indices.shape[0]:
        last = pointers[-1] if len(pointers) else 0
        rule = f"have an indptr of {lines + 1} rising offsets that ends at its entries"
        raise InputError(
            f"{file.path}: {file.matrix} must {rule}, got {len(pointers)} offsets up to {last}, "
            f"{data.shape[0]} values and {indices.shape[0]} indices. Write the file again."
        )


def _csr_blocks(
    file: CellFile, first: int, starts: Any, data: Any, indices: Any
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    starts = np.asarray(starts, dtype=np.int64)
    _check_pointers(file, starts, len(file), data, indices)
    while first < len(file):
        limit = starts[first] + BLOCK_ENTRIES
        last = int(np.searchsorted(starts, limit, side="right")) - 1
        last = min(max(last, first + 1), len(file))
        entries = slice(int(starts[first]), int(starts[last]))
        indptr = starts[first : last + 1] - starts[first]
        yield first, _csr_block(file, first, data[entries], indices[entries], indptr)
        first = last


def _csc_blocks(
    file: CellFile, first: int, starts: Any, data: Any, indices: Any
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Blocks of cells of a CSC matrix. Each takes a pass over all entries, so they are large."""
    starts = np.asarray(starts, dtype=np.int64)
    _check_pointers(file, starts, len(file.gene_names), data, indices)
    ends = np.cumsum(_entries_of_cells(file, indices))
    while first < len(file):
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + 8 * BLOCK_ENTRIES, side="right"))
        last = min(max(last, first + 1), len(file))
        entries, cells, genes = _entries_between(first, last, starts, data, indices)
        coo = sparse.coo_matrix(
            (entries, (cells, genes)), shape=(last - first, len(file.gene_names))
        )
        block = sparse.csr_matrix(coo)
        if block.nnz != len(entries):  # the conversion adds duplicates up
            raise _duplicate(file, first)
        yield first, block
        first = last


def _entries_of_cells(file: CellFile, indices: Any) -> npt.NDArray[np.int64]:
    """(N,) the number of entries of each cell of a CSC matrix."""
    counts = np.zeros(len(file), dtype=np.int64)
    for at in range(0, indices.shape[0], BLOCK_ENTRIES):
        cells = np.asarray(indices[at : at + BLOCK_ENTRIES])
        _check_indices(file, cells, len(file), "cells")
        counts += np.bincount(cells, minlength=len(file))
    return counts


def _entries_between(
    first: int, last: int, starts: Any, data: Any, indices: Any
) -> tuple[Any, Any, Any]:
    """(values, cells from 0, genes) of all entries of cells first to last of a CSC matrix."""
    parts: list[tuple[Any, Any, Any]] = []
    for at in range(0, data.shape[0], BLOCK_ENTRIES):
        cells = np.asarray(indices[at : at + BLOCK_ENTRIES])
        chosen = np.flatnonzero((cells >= first) & (cells < last))
        genes = np.searchsorted(starts, at + chosen, side="right") - 1
        values = data[at : at + BLOCK_ENTRIES][chosen]
        parts.append((values, cells[chosen] - first, genes))
    if not parts:
        return [], [], []
    values, cells, genes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return values, cells, genes


def _csr_block(
    file: CellFile, first: int, data: Any, indices: Any, indptr: Any
) -> sparse.csr_matrix:
    """A block with sorted indices. Raises: InputError for a gene out of range or twice."""
    _check_indices(file, indices, len(file.gene_names), "genes")
    block = sparse.csr_matrix(
        (np.asarray(data), np.asarray(indices), indptr),
        shape=(len(indptr) - 1, len(file.gene_names)),
    )
    block.sort_indices()
    same = np.flatnonzero(np.diff(block.indices) == 0) + 1
    if len(np.setdiff1d(same, block.indptr)):
        raise _duplicate(file, first)
    return block


def _check_indices(file: CellFile, indices: Any, limit: int, what: str) -> None:
    if not len(indices):
        return
    lowest, highest = int(np.min(indices)), int(np.max(indices))
    if lowest < 0 or highest >= limit:
        wrong = highest if highest >= limit else lowest
        raise InputError(
            f"{file.path}: {file.matrix} must have indices from 0 to below its {limit} {what}, "
            f"got {wrong}. Write the file again."
        )


def _duplicate(file: CellFile, first: int) -> InputError:
    return InputError(
        f"{file.path}: {file.matrix} must have one entry for a gene of a cell, got two in or after "
        f"cell {first}. Call its sum_duplicates() and write the file again."
    )


def _check_block(
    file: CellFile, first: int, block: sparse.csr_matrix, values: Values
) -> None:
    """Raise InputError for values that are not finite or, among counts, not whole or negative."""
    data = block.data
    good = np.isfinite(data)
    if values == "counts" and data.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            good &= (data >= 0) & (data == np.round(data))
    elif values == "counts":
        good &= data >= 0
    if good.all():
        return
    entry = int(np.flatnonzero(~good)[0])
    cell = first + int(np.searchsorted(block.indptr, entry, side="right")) - 1
    gene = file.gene_names[int(block.indices[entry])]
    is_counts = values == "counts"
    rule = "raw counts (non-negative integers)" if is_counts else "finite values"
    remedy = _raw_elsewhere(file) if is_counts else "Correct the value."
    raise InputError(
        f"{file.path}: {file.matrix} must hold {rule}, got {data[entry]:g} for {gene} in cell "
        f"{file.cell_names[cell]}. {remedy}"
    )


def _raw_elsewhere(file: CellFile) -> str:
    """A remedy that names another matrix of the file with raw counts, if one has them."""
    if file.path.suffix == ".h5ad":
        import h5py

        with h5py.File(file.path, "r") as opened:
            for name, path in matrices(opened).items():
                if name != file.matrix and _looks_raw(opened[path]):
                    return f"{name} looks raw: choose it as the matrix."
    return "No other matrix of the file looks raw: get a file with raw counts."


def _looks_raw(matrix: Any) -> bool:
    """Whether the first entries of an HDF5 matrix are non-negative integers."""
    import h5py

    is_dense = isinstance(matrix, h5py.Dataset)
    sample = np.asarray(matrix[:50] if is_dense else matrix["data"][:100_000])
    return bool(
        sample.size and (sample >= 0).all() and np.array_equal(sample, np.round(sample))
    )
