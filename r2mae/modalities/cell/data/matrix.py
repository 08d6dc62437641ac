"""Read a file's matrix in blocks of cells: dense, CSR or CSC, in a container or in memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.errors import InputError, first_line
from r2mae.modalities.cell.data.containers import is_array, open_container

if TYPE_CHECKING:
    from r2mae.modalities.cell.data.blocks import CellFile

BLOCK_ENTRIES = 4_000_000  # in memory at once: 32 MB of values and gene indices
Block = tuple[int, sparse.csr_matrix, int]


def read_blocks(file: "CellFile", start: int) -> Iterator[Block]:
    """(index of the first cell, CSR matrix of consecutive cells, entries summed).

    An entry is summed where a sparse matrix has several for a feature of a cell.

    Raises: InputError for a damaged file.
    """
    if file.contents.in_memory is not None:
        csr = file.contents.in_memory
        yield from _csr_blocks(file, start, csr.indptr, csr.data, csr.indices)
        return
    try:
        with open_container(file.path) as root:
            matrix = root[file.contents.place]
            if is_array(matrix):
                yield from _dense_blocks(file, start, matrix)
                return
            old_format = matrix.attrs.get("h5sparse_format", "csr")
            format_ = matrix.attrs.get("encoding-type", old_format)
            is_csc = format_ in ("csc_matrix", "csc")
            blocks = _csc_blocks if is_csc else _csr_blocks
            yield from blocks(
                file, start, matrix["indptr"][:], matrix["data"], matrix["indices"]
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{file.path} must be a complete file, got: {first_line(error)}. Copy it again."
        ) from None


def as_numbers(values: Any) -> npt.NDArray[Any]:
    """A copy of values in a type that scipy has and whose sums do not overflow."""
    dtype = np.asarray(values).dtype
    if dtype.kind == "f":
        same = dtype in (np.float32, np.float64)
        return np.array(values, dtype=dtype if same else np.float32)
    return np.array(values, dtype=np.uint64 if dtype == np.uint64 else np.int64)


def _check_type(file: "CellFile", array: Any) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{file.path}: {file.matrix} must hold real numbers, got {array.dtype}. "
            "Write the file again."
        )


def _dense_blocks(file: "CellFile", start: int, matrix: Any) -> Iterator[Block]:
    _check_type(file, matrix)
    step = max(1, BLOCK_ENTRIES // max(1, file.num_features))
    for first in range(start, len(file), step):
        cells = slice(first, first + step)
        dense = matrix[:, cells].T if file.contents.by_gene else matrix[cells]
        yield first, sparse.csr_matrix(as_numbers(dense)), 0


def _check_pointers(
    file: "CellFile", pointers: Any, lines: int, data: Any, indices: Any
) -> None:
    _check_type(file, data)
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
    file: "CellFile", first: int, starts: Any, data: Any, indices: Any
) -> Iterator[Block]:
    starts = np.asarray(starts, dtype=np.int64)
    _check_pointers(file, starts, len(file), data, indices)
    while first < len(file):
        limit = starts[first] + BLOCK_ENTRIES
        last = int(np.searchsorted(starts, limit, side="right")) - 1
        last = min(max(last, first + 1), len(file))
        entries = slice(int(starts[first]), int(starts[last]))
        genes = np.array(indices[entries])  # a copy, as sorting is done in place
        _check_indices(file, genes, file.num_features, "features")
        indptr = starts[first : last + 1] - starts[first]
        block = sparse.csr_matrix(
            (as_numbers(data[entries]), genes, indptr),
            shape=(last - first, file.num_features),
        )
        block.sum_duplicates()  # and sort
        yield first, block, len(genes) - block.nnz
        first = last


def _csc_blocks(
    file: "CellFile", first: int, starts: Any, data: Any, indices: Any
) -> Iterator[Block]:
    """Blocks of cells of a CSC matrix. Each takes a pass over all entries, so they are large."""
    starts = np.asarray(starts, dtype=np.int64)
    _check_pointers(file, starts, file.num_features, data, indices)
    ends = np.cumsum(_entries_of_cells(file, indices))
    while first < len(file):
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + 8 * BLOCK_ENTRIES, side="right"))
        last = min(max(last, first + 1), len(file))
        entries, cells, genes = _entries_between(first, last, starts, data, indices)
        shape = (last - first, file.num_features)
        coo = sparse.coo_matrix((as_numbers(entries), (cells, genes)), shape=shape)
        block = sparse.csr_matrix(coo)  # adds up entries of the same place
        yield first, block, len(entries) - block.nnz
        first = last


def _entries_of_cells(file: "CellFile", indices: Any) -> npt.NDArray[np.int64]:
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
    """(values, cells from 0, features) of all entries of cells first to last of a CSC matrix."""
    parts: list[tuple[Any, Any, Any]] = []
    for at in range(0, data.shape[0], BLOCK_ENTRIES):
        cells = np.asarray(indices[at : at + BLOCK_ENTRIES])
        chosen = np.flatnonzero((cells >= first) & (cells < last))
        genes = np.searchsorted(starts, at + chosen, side="right") - 1
        values = data[at : at + BLOCK_ENTRIES][chosen]
        parts.append((values, cells[chosen] - first, genes))
    if not parts:
        return np.zeros(0), [], []
    values, cells, genes = (np.concatenate(part) for part in zip(*parts, strict=True))
    return values, cells, genes


def _check_indices(file: "CellFile", indices: Any, limit: int, what: str) -> None:
    if not len(indices):
        return
    lowest, highest = int(np.min(indices)), int(np.max(indices))
    if lowest < 0 or highest >= limit:
        wrong = highest if highest >= limit else lowest
        raise InputError(
            f"{file.path}: {file.matrix} must have indices from 0 to below its {limit} {what}, "
            f"got {wrong}. Write the file again."
        )
