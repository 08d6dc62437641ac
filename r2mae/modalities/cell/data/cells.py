"""Batches of cells: dense rows over all genes, or lists of expressed genes and decoys.

A decoy is a gene without a count, drawn at random, that may be masked like an expressed one.
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

BLOCK_CELLS = 64  # consecutive cells that are read together
_FROZEN_SEED = 0x5EED  # of the decoys in evaluation


@dataclass(frozen=True)
class CellView:
    """The input format of a model.

    lists: lists of genes (True) or dense rows (False).
    expressed_share: share of expressed genes among those that may be masked; the others are
        decoys. None: all genes may be masked.
    """

    lists: bool = False
    expressed_share: float | None = None


class Cells:
    """A `SampleSource` of rows of a store.

    A dense batch has "values" (B, M) float32 and, with decoys, "roles" (B, M) int8, a `Role` each.
    A batch of lists has "columns" (B, L), the genes of each cell, with their "values" and
    "roles" (B, L): expressed genes first, in increasing order, then decoys, then padding.
    "measured" (B, M) bool is present when some gene was not measured in some cell.
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
        is_in_vocabulary = self.columns >= 0
        self.measured = np.zeros((len(store.meta["files"]), len(genes)), dtype=np.bool_)
        matched = self.columns[is_in_vocabulary]
        self.measured[:, matched] = store.measured()[:, is_in_vocabulary]
        numbers, names, absent = labels or (None, {}, "none. Set data.label_column.")
        self._labels: npt.NDArray[np.int64] | None = numbers
        self.class_names: dict[int, str] = names
        self.labels_absent: str = absent

    def __len__(self) -> int:
        return len(self.store)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, -1 for cells without a label; or None."""
        return self._labels

    def name(self, index: int) -> str:
        """The cell's file, and its name in obs."""
        file = self.store.meta["files"][self.store.file[index]]
        return f"{file['path']}, cell {self.store.cell_name(index)}"

    def genes_of_cells(self) -> npt.NDArray[np.int64]:
        """(N,) the number of the model's genes that each cell has a count of."""
        if (self.columns >= 0).all():
            return np.asarray(self.store.genes_of_cells())
        from r2mae.modalities.cell.data.kernels import count_genes

        rows, store = np.arange(len(self)), self.store
        return np.asarray(count_genes(rows, store.starts, store.genes, self.columns))

    def overlap(self) -> dict[str, int]:
        """Numbers of the model's genes, those in the store, those missing, and others in it."""
        matched = int((self.columns >= 0).sum())
        return {
            "known": len(self.genes),
            "found": matched,
            "missing": len(self.genes) - matched,
            "ignored": len(self.columns) - matched,
        }

    def dense(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(B, M) values of cells."""
        from r2mae.modalities.cell.data.kernels import gather_dense

        store = self.store
        out = np.zeros((len(rows), len(self.genes)), dtype=np.float32)
        gather_dense(rows, store.starts, store.genes, store.values, self.columns, out)
        return out

    def lists(
        self, rows: npt.NDArray[np.int64], spare: float = 0.0
    ) -> tuple[Any, Any, Any]:
        """(columns (B, L) int32, values (B, L) float32, lengths (B,)) of the expressed genes.

        spare: slots to leave free for decoys, as a multiple of the longest list.
        """
        from r2mae.modalities.cell.data.kernels import count_genes, gather_lists

        store, starts = self.store, self.store.starts
        if (self.columns >= 0).all():
            lengths = np.asarray(starts[rows + 1] - starts[rows])
        else:
            lengths = count_genes(rows, starts, store.genes, self.columns)
        width = int(lengths.max(initial=0))
        width = min(width + int(np.ceil(width * spare)), len(self.genes))
        columns = np.zeros((len(rows), width), np.int32)
        values = np.zeros((len(rows), width), np.float32)
        gather_lists(
            rows, starts, store.genes, store.values, self.columns, columns, values
        )
        return columns, values, lengths

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Cells at indices (B,). Decoys depend on (seed, position); without positions, on the index."""
        rows = indices.numpy()
        batch: Batch = {"indices": indices, "skipped": ()}
        measured = self.measured[self.store.file[rows]]
        if not measured.all():
            batch["measured"] = torch.from_numpy(measured)
        if not self.view.lists:
            batch["values"] = torch.from_numpy(self.dense(rows))
        if self.view.lists or self.view.expressed_share is not None:
            places = (indices, _FROZEN_SEED) if positions is None else (positions, seed)
            columns, values, roles = self._with_decoys(rows, measured, *places)
            if self.view.lists:
                batch["columns"] = torch.from_numpy(columns).long()
                batch["values"] = torch.from_numpy(values)
                batch["roles"] = torch.from_numpy(roles)
            else:
                batch["roles"] = torch.from_numpy(self._dense_roles(columns, roles))
        return batch

    def _dense_roles(self, columns: Any, roles: Any) -> Any:
        """(B, M) int8 roles of all genes from lists (B, L); other genes are visible."""
        num_genes = len(self.genes)
        dense = np.full((len(roles), num_genes + 1), Role.SEEN, dtype=np.int8)
        # Padding goes to an extra column, which is dropped.
        slots = np.where(roles == Role.ABSENT, num_genes, columns)
        np.put_along_axis(dense, slots, roles, axis=1)
        return dense[:, :-1]

    def _with_decoys(
        self, rows: Any, measured: Any, positions: Tensor, seed: int
    ) -> tuple[Any, Any, Any]:
        """(columns, values, roles) (B, L): expressed genes, then decoys if there are any."""
        from r2mae.modalities.cell.data.kernels import draw_decoys

        share = self.view.expressed_share
        per_expressed = 0.0 if share is None else 1 / share - 1
        columns, values, lengths = self.lists(rows, per_expressed)
        is_expressed = np.arange(columns.shape[1]) < lengths[:, None]
        roles = np.where(is_expressed, Role.HIDEABLE, Role.ABSENT).astype(np.int8)
        if per_expressed:
            not_expressed = measured.sum(axis=1) - lengths
            most = np.minimum(not_expressed, columns.shape[1] - lengths)
            decoys = np.round(lengths * per_expressed).astype(np.int64)
            decoys = np.minimum(decoys, most)
            start = np.uint64(stream_start(seed, RandomStream.DECOY))
            draw_decoys(
                start, positions.numpy(), lengths, decoys, measured, columns, roles
            )
        return columns, values, roles


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.data.source import SampleSource

    _source: type[SampleSource] = Cells
