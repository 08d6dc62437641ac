"""Numba kernels that gather rows of a CSR matrix as lists of genes or as dense rows.

starts (N + 1,) int64: CSR's indptr. genes, values: CSR's indices and data.
columns (G,) int32: the model's index of each stored gene, -1 for genes outside its vocabulary.
rows (B,): the cells to gather. L is the longest list, M the number of the model's genes.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from r2mae.masking.pattern import Role

Array = npt.NDArray[Any]
_HIDEABLE, _DECOY = int(Role.HIDEABLE), int(Role.DECOY)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@numba.njit(cache=True, nogil=True)
def count_genes(rows: Array, starts: Array, genes: Array, columns: Array) -> Array:
    """(B,) the number of each row's entries whose gene is in the model's vocabulary."""
    counts = np.zeros(len(rows), np.int64)
    for b in range(len(rows)):
        for entry in range(starts[rows[b]], starts[rows[b] + 1]):
            counts[b] += columns[genes[entry]] >= 0
    return counts


@numba.njit(cache=True, nogil=True)
def gather_lists(
    rows: Array,
    starts: Array,
    genes: Array,
    values: Array,
    columns: Array,
    out_columns: Array,
    out_values: Array,
) -> None:
    """Write each row's entries in the vocabulary to out_columns and out_values (B, L).

    They fill the first slots; the others are not changed.
    """
    for b in range(len(rows)):
        slot = 0
        for entry in range(starts[rows[b]], starts[rows[b] + 1]):
            column = columns[genes[entry]]
            if column >= 0:
                out_columns[b, slot] = column
                out_values[b, slot] = values[entry]
                slot += 1


@numba.njit(cache=True, nogil=True)
def gather_dense(
    rows: Array, starts: Array, genes: Array, values: Array, columns: Array, out: Array
) -> None:
    """Write rows to out (B, M), which must be all zeros."""
    for b in range(len(rows)):
        row = out[b]
        for entry in range(starts[rows[b]], starts[rows[b] + 1]):
            column = columns[genes[entry]]
            if column >= 0:
                row[column] = values[entry]


@numba.njit(cache=True, nogil=True)
def draw_decoys(
    start: np.uint64,
    positions: Array,
    counts: Array,
    decoys: Array,
    measured: Array,
    columns: Array,
    roles: Array,
) -> None:
    """Append decoys, genes without a count, to the lists columns and roles (B, L).

    counts (B,): slots in use. decoys (B,): how many to append, all different.
    measured (B or 1, M) bool: genes to draw from, uniformly.
    The n-th draw of a row hashes (position, n), so decoys depend on seed and position alone.
    """
    num_genes = measured.shape[1]
    taken = np.zeros(num_genes, np.bool_)
    for b in range(len(positions)):
        for slot in range(counts[b]):
            taken[columns[b, slot]] = True
        key = _mix(start + np.uint64(positions[b]) * _GOLDEN)
        is_measured = measured[b % len(measured)]
        slot, end, draw = counts[b], counts[b] + decoys[b], np.uint64(0)
        while slot < end:
            gene = np.int64(_mix(key + draw * _GOLDEN) % np.uint64(num_genes))
            draw += np.uint64(1)
            if is_measured[gene] and not taken[gene]:
                taken[gene] = True
                columns[b, slot], roles[b, slot] = gene, _DECOY
                slot += 1
        for slot in range(end):
            taken[columns[b, slot]] = False


@numba.njit(cache=True, nogil=True)
def _mix(bits: np.uint64) -> np.uint64:
    """The finalizer of splitmix64, as in `masking.rng`."""
    bits = (bits ^ (bits >> _S30)) * _FIRST
    bits = (bits ^ (bits >> _S27)) * _SECOND
    return bits ^ (bits >> _S31)
