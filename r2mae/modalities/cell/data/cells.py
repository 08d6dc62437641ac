"""Cells as batches: dense rows over all genes, or lists of expressed genes and of others that were drawn.

B cells, M genes of the model, L genes of the longest list.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import Batch
from r2mae.masking.pattern import Role
from r2mae.masking.rng import RandomStream, stream_start
from r2mae.modalities.cell.data.genes import match_genes
from r2mae.modalities.cell.data.store import CellStore

BLOCK_CELLS = 64  # neighbours that are read together
_FROZEN_SEED = 0x5EED  # of decoys in evaluation


@dataclass(frozen=True)
class CellView:
    """How a model wants its cells.

    lists: True gives lists, False dense rows.
    expressed_share: None puts all genes in play; else decoys are drawn, until this share of those in play is expressed.
    """

    lists: bool = False
    expressed_share: float | None = None


class Cells:
    """A `SampleSource` of rows of a store.

    `load` gives "values" (B, M) float32, dense; or "values" and "columns" (B, L), lists of a cell's genes, rising, and
    "roles" (B, L) int8, a `Role` each: expressed genes first, then decoys, then padding. With decoys a dense batch has
    "roles" (B, M) too. "measured" (B, M) bool is there when some gene was not measured in some cell.
    """

    def __init__(
        self,
        store: CellStore,
        genes: list[str],
        view: CellView,
        *,
        least_overlap: float = 0.0,
        labels: Any = None,
    ) -> None:
        self.store = store
        self.view = view
        self.genes = genes
        self.fingerprint = store.fingerprint
        self.columns = match_genes(store.place, store.gene_names, genes, least_overlap)
        self.block_samples = BLOCK_CELLS
        known = self.columns >= 0
        self.measured = np.zeros((len(store.meta["files"]), len(genes)), dtype=np.bool_)
        self.measured[:, self.columns[known]] = store.measured()[:, known]
        found: Any = labels or (None, {}, "none. Set data.label_column.")
        self._labels: npt.NDArray[np.int64] | None = found[0]
        self.class_names: dict[int, str] = found[1]
        self.labels_absent: str = found[2]

    def __len__(self) -> int:
        return len(self.store)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, -1 for cells without a label; or None."""
        return self._labels

    def name(self, index: int) -> str:
        """What its file calls a cell."""
        return f"{self.store.place}, cell {bytes(self.store.names[index]).decode()}"

    def known_genes(self) -> npt.NDArray[np.int64]:
        """(N,) how many genes of the model a cell has a count of."""
        if (self.columns >= 0).all():
            return np.asarray(self.store.genes_of_cells())
        from r2mae.modalities.cell.data.kernels import count_known

        rows, store = np.arange(len(self)), self.store
        return np.asarray(count_known(rows, store.starts, store.genes, self.columns))

    def overlap(self) -> dict[str, int]:
        """How many genes the model knows, of these found, missing, and others of the store."""
        found = int((self.columns >= 0).sum())
        return {
            "known": len(self.genes),
            "found": found,
            "missing": len(self.genes) - found,
            "ignored": len(self.columns) - found,
        }

    def dense(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(B, M) values of cells."""
        from r2mae.modalities.cell.data.kernels import gather_dense

        out = np.zeros(
            (len(rows), len(self.genes)), dtype=np.float32
        )  # the system's zeros: no pass of ours
        gather_dense(
            rows,
            self.store.starts,
            self.store.genes,
            self.store.values,
            self.columns,
            out,
        )
        return out

    def lists(
        self, rows: npt.NDArray[np.int64], spare: float = 0.0
    ) -> tuple[Any, Any, Any]:
        """(columns (B, L) int32, values (B, L) float32, lengths (B,)), with room for spare x the length after each."""
        from r2mae.modalities.cell.data.kernels import count_known, gather_lists

        store, starts = self.store, self.store.starts
        every = bool((self.columns >= 0).all())
        lengths = (
            np.asarray(starts[rows + 1] - starts[rows])
            if every
            else count_known(rows, starts, store.genes, self.columns)
        )
        width = int(lengths.max(initial=0))
        width = min(width + int(np.ceil(width * spare)), len(self.genes))
        columns, values = (
            np.zeros((len(rows), width), np.int32),
            np.zeros((len(rows), width), np.float32),
        )
        gather_lists(
            rows, starts, store.genes, store.values, self.columns, columns, values
        )
        return columns, values, lengths

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Cells at indices (B,); decoys follow from (seed, position), in evaluation from the index."""
        rows = indices.numpy()
        batch: Batch = {"indices": indices, "skipped": ()}
        measured = self.measured[self.store.file[rows]]
        if not measured.all():
            batch["measured"] = torch.from_numpy(measured)
        if not self.view.lists:
            batch["values"] = torch.from_numpy(self.dense(rows))
        if self.view.lists or self.view.expressed_share is not None:
            places = (indices, _FROZEN_SEED) if positions is None else (positions, seed)
            columns, values, roles = self._in_play(rows, measured, *places)
            if self.view.lists:
                batch |= {
                    "columns": torch.from_numpy(columns).long(),
                    "values": torch.from_numpy(values),
                }
                batch["roles"] = torch.from_numpy(roles)
            else:
                dense = np.full(
                    (len(rows), len(self.genes) + 1), Role.SEEN, dtype=np.int8
                )
                np.put_along_axis(
                    dense,
                    np.where(roles == Role.ABSENT, len(self.genes), columns),
                    roles,
                    axis=1,
                )
                batch["roles"] = torch.from_numpy(dense[:, :-1])
        return batch

    def _in_play(
        self, rows: Any, measured: Any, positions: Tensor, seed: int
    ) -> tuple[Any, Any, Any]:
        """(columns, values, roles) (B, L): expressed genes, and decoys where a share is asked for."""
        from r2mae.modalities.cell.data.kernels import draw_decoys

        share = self.view.expressed_share
        others = 0.0 if share is None else 1 / share - 1
        columns, values, lengths = self.lists(rows, others)
        roles = np.where(
            np.arange(columns.shape[1]) < lengths[:, None], Role.HIDEABLE, Role.ABSENT
        ).astype(np.int8)
        if others:
            free = measured.sum(axis=1) - lengths
            wanted = np.minimum(
                np.round(lengths * others).astype(np.int64),
                np.minimum(free, columns.shape[1] - lengths),
            )
            start = np.uint64(stream_start(seed, RandomStream.DECOY))
            draw_decoys(
                start, positions.numpy(), lengths, wanted, measured, columns, roles
            )
        return columns, values, roles


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = Cells
