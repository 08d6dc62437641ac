"""Baselines of imputation: gene mean, PCA and kNN smoothing.

n training cells, B test cells, G genes.
"""

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.conditional_mean import ConditionalMean
from r2mae.modalities.cell.normalization import PER, log_normalize

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
_NEIGHBORS = 15


class Baselines:
    """Gene mean, PCA and kNN smoothing, fitted on training counts (n, G).

    Each method maps (counts (B, G), is_masked (B, G)) to expected counts (B, G).
    """

    def __init__(self, train: Values) -> None:
        shares = train / np.maximum(train.sum(axis=1, keepdims=True), 1)
        self.counts = train
        self.mean_shares = shares.mean(axis=0).astype(np.float64)
        self.mean_shares /= self.mean_shares.sum()
        self.logs = log_normalize(train)
        self.conditional_mean = ConditionalMean(self.logs)

    def sizes(self, counts: Values, is_masked: Bools) -> Floats:
        """(B, 1) total counts of each cell, estimated from its visible genes."""
        visible = np.where(is_masked, 0, counts).sum(axis=1, dtype=np.float64)
        share = 1 - is_masked @ self.mean_shares
        sizes = np.maximum(visible, 1) / np.maximum(share, 1e-8)
        return np.asarray(sizes[:, None])

    def gene_mean(self, counts: Values, is_masked: Bools) -> Values:
        """The mean training cell, scaled to each cell's estimated total count."""
        expected = self.sizes(counts, is_masked) * self.mean_shares
        return np.asarray(expected, dtype=np.float32)

    def pca_50(self, counts: Values, is_masked: Bools) -> Values:
        """Conditional mean given visible genes, of log1p of counts per 10,000."""
        sizes = self.sizes(counts, is_masked)
        logs = np.log1p(counts * (PER / sizes))
        logs = self.conditional_mean.impute(np.where(is_masked, np.nan, logs))
        imputed = np.expm1(np.maximum(logs, 0)) * (sizes / PER)
        return np.asarray(imputed, dtype=np.float32)

    def knn_smoothing(self, counts: Values, is_masked: Bools) -> Values:
        """Pooled counts of the 15 training cells nearest in the visible genes."""
        sizes = self.sizes(counts, is_masked)
        logs = np.log1p(counts * (PER / sizes))
        logs = np.where(is_masked, 0, logs).astype(np.float32)
        visible = (~is_masked).astype(np.float32)
        distances = visible @ (self.logs**2).T - 2 * logs @ self.logs.T
        last = min(_NEIGHBORS, len(self.logs) - 1)
        nearest = np.argpartition(distances, last, axis=1)[:, :_NEIGHBORS]
        sums = [self.counts[rows].sum(axis=0) for rows in nearest]
        pooled = np.stack(sums).astype(np.float64)
        # A pseudocount of the mean cell gives genes that no neighbour expresses a rate above 0.
        totals = pooled.sum(axis=1, keepdims=True)
        shares = (pooled + self.mean_shares) / (totals + 1)
        return np.asarray(shares * sizes, dtype=np.float32)
