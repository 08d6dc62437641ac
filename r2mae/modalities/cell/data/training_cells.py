"""What a model needs of its training cells before it is built: the mean cell, and cells to fit components on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.source import hold_out, root_of, rows_in_root
from r2mae.modalities.cell.data.cells import CellView
from r2mae.modalities.cell.data.splits import open_cells
from r2mae.modalities.cell.normalization import log_normalize
from r2mae.modalities.cell.schema import CellData

_MOST_LOOKED_AT = 10_000
_MOST_VALUES = 100_000_000  # that principal components are fitted on


def mean_cell(section: CellData) -> tuple[npt.NDArray[np.float64] | None, int]:
    """(share of a cell's counts that each gene has (M,), genes a cell expresses), means over training cells.

    Shares are None for scaled values. At most 10,000 cells, evenly spread, are looked at.
    """
    train = open_cells(section, "train", CellView())
    cells, rows = train.source, train.rows.numpy()  # type: ignore[attr-defined]
    num_read = min(len(rows), _MOST_LOOKED_AT)
    rows = rows[np.linspace(0, len(rows) - 1, num_read).astype(int)]
    shares = np.zeros(len(cells.genes))
    expressed = 0
    for part in np.array_split(rows, max(1, len(rows) // 500)):
        dense = cells.dense(part)
        expressed += int(np.count_nonzero(dense))
        if section.values == "counts":
            totals = np.maximum(dense.sum(axis=1, keepdims=True), 1)
            shares += (dense / totals).sum(axis=0)
    mean_expressed = max(2, round(expressed / len(rows)))
    if section.values != "counts":
        return None, mean_expressed
    return shares / shares.sum(), mean_expressed


def normalized_cells(section: CellData) -> npt.NDArray[np.float32]:
    """(n, M) training cells, log1p of counts per 10,000, or values that are not counts.

    Held-out cells are left out. Of the others, evenly spread ones are taken, 400 MB at
    most. A gene that was not measured counts as 0.
    """
    train, _ = hold_out(open_cells(section, "train", CellView()), section.held_out)
    cells: Any = root_of(train)
    rows = rows_in_root(train)
    num_read = max(2, min(len(rows), _MOST_VALUES // len(cells.genes)))
    values: npt.NDArray[np.float32] = cells.dense(
        rows[np.linspace(0, len(rows) - 1, num_read).astype(int)]
    )
    return log_normalize(values) if section.values == "counts" else values
