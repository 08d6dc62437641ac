"""Rows of a compressed matrix gathered by machine code: as lists of genes, or dense.

Arrays: starts (N + 1,) int64, where rows begin; genes and values, one entry a count; columns (G,) int32, the model's
number of each stored gene, -1 for those it does not know. B rows are gathered; L is the longest list, M the model's
genes.
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
def count_known(rows: Array, starts: Array, genes: Array, columns: Array) -> Array:
    """(B,) how many entries of each row the model knows."""
    counts = np.zeros(len(rows), np.int64)
    for b in range(len(rows)):
        known = 0
        for entry in range(starts[rows[b]], starts[rows[b] + 1]):
            known += columns[genes[entry]] >= 0
        counts[b] = known
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
    """Fill out_columns and out_values (B, L), as they come, with a row's known entries; the rest is left as it is."""
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
    """Add rows to out (B, M), which is all zeros."""
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
    wanted: Array,
    measured: Array,
    columns: Array,
    roles: Array,
) -> None:
    """Append wanted (B,) different genes without a count to each list: columns, roles (B, L), of which counts are used.

    Drawn uniformly from genes that are measured (B or 1, M); the n-th try of a row is the hash of (position, n), so
    decoys are a function of seed and position.
    """
    num_genes = measured.shape[1]
    taken = np.zeros(num_genes, np.bool_)
    for b in range(len(positions)):
        for slot in range(counts[b]):
            taken[columns[b, slot]] = True
        word = _mix(start + np.uint64(positions[b]) * _GOLDEN)
        known, slot, end, turn = (
            measured[b % len(measured)],
            counts[b],
            counts[b] + wanted[b],
            np.uint64(0),
        )
        while slot < end:
            gene = np.int64(_mix(word + turn * _GOLDEN) % np.uint64(num_genes))
            turn += np.uint64(1)
            if known[gene] and not taken[gene]:
                taken[gene] = True
                columns[b, slot], roles[b, slot] = gene, _DECOY
                slot += 1
        for slot in range(end):
            taken[columns[b, slot]] = False


@numba.njit(cache=True, nogil=True)
def _mix(word: np.uint64) -> np.uint64:
    """splitmix64's finaliser, as in `masking.rng`."""
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)
