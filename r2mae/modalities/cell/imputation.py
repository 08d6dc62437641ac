"""Hidden genes predicted from visible ones: a run against the gene's mean, PCA and kNN smoothing, on the same masks.

n training cells, B test cells, G genes, K components.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r2mae.masking.pattern import sample_mask
from r2mae.metrics.interval import mean_interval

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Predict = Callable[
    [Values, Bools], Values
]  # (counts (B, G), is_masked (B, G)) -> expected counts (B, G)
PER = 10_000.0
_MOST_TRAIN, _MOST_TEST, _BATCH = 5_000, 2_000, 64
_COMPONENTS, _NEIGHBORS = 50, 15
_LEAST_SEEN = 10  # hidden entries with counts that a gene's correlation needs
_DISPERSIONS = np.exp(np.linspace(-4, 6, 21))
_FROZEN_SEED = 0x5EED


@dataclass(frozen=True)
class ImputationScore:
    """How well hidden counts were predicted.

    pearson: of log1p counts a 10,000 across cells, mean over genes with at least 10 hidden counts.
    poisson, negative_binomial: mean log-likelihood of a hidden entry, in nats; the latter with one dispersion, fitted
        on held-out training cells.
    by_gene, by_cell: what differences are taken of; a gene without a correlation is nan.
    """

    pearson: float
    poisson: float
    negative_binomial: float
    by_gene: Floats  # (G,)
    by_cell: Floats  # (cells,) negative_binomial

    def to_dict(self) -> dict[str, float]:
        """The three numbers."""
        return {
            "pearson": self.pearson,
            "poisson": self.poisson,
            "negative_binomial": self.negative_binomial,
        }


class Baselines:
    """Gene mean, PCA and kNN smoothing, fitted on training counts (n, G)."""

    def __init__(self, train: Values) -> None:
        from sklearn.decomposition import PCA

        shares = train / np.maximum(train.sum(axis=1, keepdims=True), 1)
        self.counts = train
        self.mean_shares = shares.mean(axis=0).astype(np.float64)
        self.mean_shares /= self.mean_shares.sum()
        self.logs = np.log1p(shares * PER)
        components = min(_COMPONENTS, min(train.shape) - 1)
        self.pca = PCA(components, svd_solver="randomized", random_state=0).fit(
            self.logs
        )
        self.noise = max(
            float(self.logs.var(axis=0).sum() - self.pca.explained_variance_.sum())
            / train.shape[1],
            1e-6,
        )

    def sizes(self, counts: Values, is_masked: Bools) -> Floats:
        """(B, 1) whole counts of a cell, by the visible ones."""
        seen = np.where(is_masked, 0, counts).sum(axis=1, dtype=np.float64)
        known = 1 - is_masked @ self.mean_shares
        return np.asarray((np.maximum(seen, 1) / np.maximum(known, 1e-8))[:, None])

    def gene_mean(self, counts: Values, is_masked: Bools) -> Values:
        """The mean cell, at this cell's size."""
        return np.asarray(
            self.sizes(counts, is_masked) * self.mean_shares, dtype=np.float32
        )

    def pca_50(self, counts: Values, is_masked: Bools) -> Values:
        """Probabilistic PCA of log1p counts a 10,000: the posterior mean given visible genes (Tipping, Bishop 1999)."""
        sizes = self.sizes(counts, is_masked)
        around = np.log1p(counts * (PER / sizes)) - self.pca.mean_
        axes, prior = (
            self.pca.components_,
            np.diag(self.noise / np.maximum(self.pca.explained_variance_, 1e-9)),
        )
        found = np.empty_like(counts)
        for row, (values, hidden) in enumerate(zip(around, is_masked, strict=True)):
            seen = axes[:, ~hidden]
            scores = np.linalg.solve(seen @ seen.T + prior, seen @ values[~hidden])
            found[row] = np.expm1(np.maximum(self.pca.mean_ + scores @ axes, 0)) * (
                sizes[row] / PER
            )
        return found

    def knn_smoothing(self, counts: Values, is_masked: Bools) -> Values:
        """Pooled counts of the 15 training cells that are nearest in visible genes."""
        sizes = self.sizes(counts, is_masked)
        logs = np.where(is_masked, 0, np.log1p(counts * (PER / sizes))).astype(
            np.float32
        )
        visible = (~is_masked).astype(np.float32)
        distances = visible @ (self.logs**2).T - 2 * logs @ self.logs.T
        nearest = np.argpartition(
            distances, min(_NEIGHBORS, len(self.logs) - 1), axis=1
        )[:, :_NEIGHBORS]
        pooled = np.stack([self.counts[rows].sum(axis=0) for rows in nearest]).astype(
            np.float64
        )
        # One count of the mean cell keeps what no neighbour shows possible.
        shares = (pooled + self.mean_shares) / (pooled.sum(axis=1, keepdims=True) + 1)
        return np.asarray(shares * sizes, dtype=np.float32)


def score_imputation(
    model: Any,
    train: Any,
    held_out: Any,
    test: Any,
    ratios: list[float],
    say: Callable[[str], None] = lambda _: None,
) -> dict[float, dict[str, ImputationScore]]:
    """{ratio: {"run", "gene mean", "PCA-50", "kNN-15": score}} of a `MaskedModel` of counts.

    train, held_out, test: sources of cells. At most 5,000 training and 2,000 test cells are taken, evenly spread.
    """
    baselines = Baselines(_counts(train, _MOST_TRAIN)[0])
    methods: dict[str, Predict] = {
        "run": lambda counts, is_masked: _impute(model, counts, is_masked),
        "gene mean": baselines.gene_mean,
        "PCA-50": baselines.pca_50,
        "kNN-15": baselines.knn_smoothing,
    }
    parts = {"held out": _counts(held_out, 500), "test": _counts(test, _MOST_TEST)}
    found: dict[float, dict[str, ImputationScore]] = {}
    for ratio in ratios:
        masks = {
            name: _frozen_masks(counts.shape, rows, ratio)
            for name, (counts, rows) in parts.items()
        }
        found[ratio] = {}
        for name, method in methods.items():
            say(f"ratio {ratio:g}, {name}")
            tuned = _dispersion(parts["held out"][0], masks["held out"], method)
            found[ratio][name] = _score(
                parts["test"][0], masks["test"], method, tuned, baselines
            )
    return found


def compare(
    ours: ImputationScore, theirs: ImputationScore
) -> dict[str, tuple[float, float]]:
    """(difference, 95 % half-width): pearson paired by gene, negative_binomial by cell."""
    both = np.isfinite(ours.by_gene) & np.isfinite(theirs.by_gene)
    return {
        "pearson": mean_interval(ours.by_gene[both] - theirs.by_gene[both]),
        "negative_binomial": mean_interval(ours.by_cell - theirs.by_cell),
    }


def _counts(source: Any, most: int) -> tuple[Values, npt.NDArray[np.int64]]:
    """(counts (B, G), rows in their source) of evenly spread cells."""
    from r2mae.data.source import root_of

    cells: Any = root_of(source)
    inner = torch.linspace(
        0, len(source) - 1, min(most, len(source)), dtype=torch.float64
    ).long()
    rows = source._whole(inner).numpy() if source is not cells else inner.numpy()
    return cells.dense(rows), rows


def _frozen_masks(
    shape: tuple[int, ...], rows: npt.NDArray[np.int64], ratio: float
) -> Bools:
    """(B, G) bool: of every cell the same share of genes, by its row and the ratio alone."""
    ratios = torch.full((len(rows),), ratio, dtype=torch.float64)
    parts = [
        sample_mask(
            "random",
            torch.ones(len(part), shape[1], dtype=torch.bool),
            ratios[: len(part)],
            _FROZEN_SEED,
            part,
            (shape[1],),
            gather=False,
        ).is_masked
        for part in torch.from_numpy(rows).split(256)
    ]
    return np.asarray(torch.cat(parts).numpy())


def _impute(model: Any, counts: Values, is_masked: Bools) -> Values:
    device = next(model.parameters()).device
    with torch.no_grad():
        found = model.impute(
            torch.from_numpy(counts).to(device), torch.from_numpy(is_masked).to(device)
        )
    return np.asarray(found.cpu().numpy())


def _batches(
    counts: Values, is_masked: Bools, method: Predict
) -> Iterator[tuple[Values, Bools, Values]]:
    for start in range(0, len(counts), _BATCH):
        part = slice(start, start + _BATCH)
        yield (
            counts[part],
            is_masked[part],
            np.maximum(method(counts[part], is_masked[part]), 1e-6),
        )


def _dispersion(counts: Values, is_masked: Bools, method: Predict) -> float:
    """The one of a grid under which hidden counts of held-out cells are likeliest."""
    totals = np.zeros(len(_DISPERSIONS))
    for values, hidden, rates in _batches(counts, is_masked, method):
        asked, expected = values[hidden], rates[hidden]
        totals += [
            _negative_binomial(asked, expected, dispersion).sum()
            for dispersion in _DISPERSIONS
        ]
    return float(_DISPERSIONS[totals.argmax()])


def _score(
    counts: Values,
    is_masked: Bools,
    method: Predict,
    dispersion: float,
    baselines: Baselines,
) -> ImputationScore:
    from scipy.special import gammaln

    num_genes = counts.shape[1]
    sums, seen = np.zeros((6, num_genes)), np.zeros(num_genes)
    poisson, by_cell, entries = 0.0, [], 0
    for values, hidden, rates in _batches(counts, is_masked, method):
        sizes = baselines.sizes(values, hidden)
        totals = np.maximum(values.sum(axis=1, keepdims=True), 1)
        truth, guess = (
            np.log1p(values * (PER / totals)),
            np.log1p(rates * (PER / sizes)),
        )
        for row, term in enumerate(
            (np.ones_like(truth), truth, guess, truth**2, guess**2, truth * guess)
        ):
            sums[row] += np.where(hidden, term, 0).sum(axis=0)
        seen += (hidden & (values > 0)).sum(axis=0)
        entries += int(hidden.sum())
        poisson += float(
            np.where(
                hidden, values * np.log(rates) - rates - gammaln(values + 1), 0
            ).sum()
        )
        likely = np.where(hidden, _negative_binomial(values, rates, dispersion), 0).sum(
            axis=1
        )
        by_cell.extend(likely / hidden.sum(axis=1))
    by_gene = _correlations(sums)
    by_gene[seen < _LEAST_SEEN] = np.nan
    cells = np.array(by_cell)
    return ImputationScore(
        float(np.nanmean(by_gene)),
        poisson / entries,
        float(cells.mean()),
        by_gene,
        cells,
    )


def _correlations(sums: Floats) -> Floats:
    """(G,) of (6, G) sums: count, x, y, x^2, y^2, x y; 0 for a constant guess, nan for a constant truth."""
    count, x, y, xx, yy, xy = sums / np.maximum(sums[0], 1)
    spread_x, spread_y = np.maximum(xx - x**2, 0), np.maximum(yy - y**2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(
            spread_y > 1e-10, (xy - x * y) / np.sqrt(spread_x * spread_y), 0.0
        )
    found[(spread_x <= 1e-10) | (count == 0)] = np.nan
    return np.asarray(found)


def _negative_binomial(values: Any, rates: Any, dispersion: float) -> Floats:
    from scipy.special import gammaln

    log_sum = np.log(dispersion + rates)
    fixed = gammaln(values + dispersion) - gammaln(dispersion) - gammaln(values + 1)
    return np.asarray(
        fixed
        + dispersion * (np.log(dispersion) - log_sum)
        + values * (np.log(rates) - log_sum)
    )
