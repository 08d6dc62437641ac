"""Cells of a file, block by block, each checked: dense, CSR or CSC in an .h5ad, 10x .h5, or read whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from r2mae.errors import InputError, first_line

Values = Literal["counts", "scaled"]
BLOCK_ENTRIES = 4_000_000  # held at once: 32 MB of values and genes


@dataclass(frozen=True)
class CellFile:
    """One file: N cells by G genes.

    matrix: "X", "raw" or "layers[NAME]"; where others were not asked for, the only one there is.
    """

    path: Path
    matrix: str
    gene_names: list[str]
    cell_names: npt.NDArray[np.str_]
    obs: Any  # a DataFrame
    whole: Any = None  # the matrix, where it was read at once

    def __len__(self) -> int:
        return len(self.cell_names)

    def blocks(
        self, values: Values, start: int = 0
    ) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """(first cell, CSR of cells that follow each other) from a cell on, checked.

        Raises: InputError naming the first entry that is no count, or what is damaged.
        """
        for first, block in _read(self, start):
            _check_block(self, first, block, values)
            yield first, block


def matrices(file: Any) -> dict[str, str]:
    """Name -> place of every matrix in an .h5ad."""
    found = {"X": "X"} if "X" in file else {}
    if "raw/X" in file:
        found["raw"] = "raw/X"
    return found | {
        f"layers[{name}]": f"layers/{name}" for name in file.get("layers", {})
    }


def _read(file: CellFile, start: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
    if file.whole is not None:
        yield from _csr_blocks(
            file, start, file.whole.indptr, file.whole.data, file.whole.indices
        )
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
            by_gene = matrix.attrs.get(
                "encoding-type", matrix.attrs.get("h5sparse_format", "csr")
            ) in (
                "csc_matrix",
                "csc",
            )
            blocks = _csc_blocks if by_gene else _csr_blocks
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
        got = f"{len(pointers)} pointers up to {pointers[-1] if len(pointers) else 0}, {data.shape[0]} values, "
        rule = f"hold {lines} rising rows of a compressed matrix"
        raise InputError(
            f"{file.path}: {file.matrix} must {rule}, got {got}{indices.shape[0]} indices. Write it again."
        )


def _csr_blocks(
    file: CellFile, first: int, starts: Any, data: Any, indices: Any
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    starts = np.asarray(starts, dtype=np.int64)
    _check_pointers(file, starts, len(file), data, indices)
    while first < len(file):
        last = (
            int(np.searchsorted(starts, starts[first] + BLOCK_ENTRIES, side="right"))
            - 1
        )
        last = min(max(last, first + 1), len(file))
        entries = slice(int(starts[first]), int(starts[last]))
        yield (
            first,
            _block(
                file,
                first,
                data[entries],
                indices[entries],
                starts[first : last + 1] - starts[first],
            ),
        )
        first = last


def _csc_blocks(
    file: CellFile, first: int, starts: Any, data: Any, indices: Any
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Bands of cells, each from one pass over all genes: entries of a cell lie all over the file."""
    starts, pieces = (
        np.asarray(starts, dtype=np.int64),
        range(0, data.shape[0], BLOCK_ENTRIES),
    )
    _check_pointers(file, starts, len(file.gene_names), data, indices)
    per_cell = np.zeros(len(file), dtype=np.int64)
    for at in pieces:
        cells = np.asarray(indices[at : at + BLOCK_ENTRIES])
        _check_indices(file, cells, len(file), "cells")
        per_cell += np.bincount(cells, minlength=len(file))
    ends = np.cumsum(per_cell)
    while first < len(file):
        before = ends[first - 1] if first else 0
        last = min(
            max(
                int(np.searchsorted(ends, before + 8 * BLOCK_ENTRIES, side="right")),
                first + 1,
            ),
            len(file),
        )
        found: list[tuple[Any, Any, Any]] = []
        for at in pieces:
            cells = np.asarray(indices[at : at + BLOCK_ENTRIES])
            chosen = np.flatnonzero((cells >= first) & (cells < last))
            genes = np.searchsorted(starts, at + chosen, side="right") - 1
            found.append(
                (data[at : at + BLOCK_ENTRIES][chosen], cells[chosen] - first, genes)
            )
        entries: Any = (
            [np.concatenate(part) for part in zip(*found, strict=True)]
            if found
            else ([], [], [])
        )
        band = sparse.coo_matrix(
            (entries[0], tuple(entries[1:])), shape=(last - first, len(file.gene_names))
        )
        whole = sparse.csr_matrix(band)
        if whole.nnz != len(entries[0]):
            raise _duplicate(file, first)
        yield first, whole
        first = last


def _block(
    file: CellFile, first: int, data: Any, indices: Any, starts: Any
) -> sparse.csr_matrix:
    _check_indices(file, indices, len(file.gene_names), "genes")
    block = sparse.csr_matrix(
        (np.asarray(data), np.asarray(indices), starts),
        shape=(len(starts) - 1, len(file.gene_names)),
    )
    block.sort_indices()
    same = np.flatnonzero(np.diff(block.indices) == 0) + 1
    if len(np.setdiff1d(same, block.indptr)):
        raise _duplicate(file, first)
    return block


def _check_indices(file: CellFile, indices: Any, limit: int, what: str) -> None:
    if len(indices) and not (
        int(np.min(indices)) >= 0 and int(np.max(indices)) < limit
    ):
        wrong = (
            int(np.max(indices))
            if int(np.max(indices)) >= limit
            else int(np.min(indices))
        )
        raise InputError(
            f"{file.path}: {file.matrix} must have indices below its {limit} {what}, got {wrong}. Write it again."
        )


def _duplicate(file: CellFile, first: int) -> InputError:
    return InputError(
        f"{file.path}: {file.matrix} must hold an entry once, got one twice from cell {first} on. "
        "Call sum_duplicates() and write it again."
    )


def _check_block(
    file: CellFile, first: int, block: sparse.csr_matrix, values: Values
) -> None:
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
    rule = "raw counts, whole and not negative" if values == "counts" else "finite"
    raise InputError(
        f"{file.path}: {file.matrix} must hold {rule}, got {data[entry]:g} for {gene} in cell "
        f"{file.cell_names[cell]}. {_raw_elsewhere(file) if values == 'counts' else 'Mend the value.'}"
    )


def _raw_elsewhere(file: CellFile) -> str:
    """The remedy: which other matrix of the file looks raw."""
    if file.path.suffix == ".h5ad":
        import h5py

        with h5py.File(file.path, "r") as opened:
            for name, place in matrices(opened).items():
                if name == file.matrix:
                    continue
                matrix = opened[place]
                sample = np.asarray(
                    matrix[:50]
                    if isinstance(matrix, h5py.Dataset)
                    else matrix["data"][:100_000]
                )
                if (
                    sample.size
                    and (sample >= 0).all()
                    and np.array_equal(sample, np.round(sample))
                ):
                    return f"{name} looks raw: name it as the matrix."
    return "No other matrix of the file looks raw: get the counts."
