"""Impute masked counts from visible genes: a run compared with baselines on the same masks.

B cells, G genes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r2mae.masking.pattern import sample_mask
from r2mae.metrics.interval import paired_interval
from r2mae.modalities.cell.imputation_baselines import (
    Baselines,
    Bools,
    Floats,
    Values,
)
from r2mae.modalities.cell.normalization import PER

# (counts (B, G), is_masked (B, G)) -> expected counts (B, G)
Predict = Callable[[Values, Bools], Values]
_MOST_TRAIN, _MOST_TEST, _BATCH = 5_000, 2_000, 64
_LEAST_HIDDEN = 10  # masked nonzero counts for a gene's correlation to be used
_DISPERSIONS = np.exp(np.linspace(-4, 6, 21))
_SUMMED_COUNTS = 64  # larger counts enter an expectation at their conditional mean
_FROZEN_SEED = 0x5EED


@dataclass(frozen=True)
class ImputationScore:
    """Accuracy of imputed counts.

    pearson: correlation across cells of log1p of counts per 10,000 and its expectation under
        negative binomials of the imputed means; mean over genes with at least 10 masked nonzero
        counts.
    poisson, negative_binomial: mean log-likelihood of a masked count, in nats.

    by_gene, by_cell: the values averaged to pearson and negative_binomial; nan for genes left out.

    The negative binomials of a method have one dispersion, fitted on held-out training cells.
    """

    pearson: float
    poisson: float
    negative_binomial: float
    by_gene: Floats  # (G,)
    by_cell: Floats  # (cells,) negative_binomial

    def to_dict(self) -> dict[str, float]:
        """pearson, poisson and negative_binomial, JSON-serializable."""
        return {
            "pearson": self.pearson,
            "poisson": self.poisson,
            "negative_binomial": self.negative_binomial,
        }


def score_imputation(
    model: Any,
    train: Any,
    held_out: Any,
    test: Any,
    ratios: list[float],
    status: Callable[[str], None] = lambda _: None,
) -> dict[float, dict[str, ImputationScore]]:
    """{ratio: {"run", "gene mean", "PCA-50", "kNN-15": score}} of a `MaskedModel` of counts.

    train, held_out, test: sources of cells; at most 5,000, 500 and 2,000 cells, evenly spaced,
        are used.
    status: called with the ratio and method being scored.
    """
    baselines = Baselines(_counts(train, _MOST_TRAIN)[0])
    methods: dict[str, Predict] = {
        "run": lambda counts, is_masked: _impute(model, counts, is_masked),
        "gene mean": baselines.gene_mean,
        "PCA-50": baselines.pca_50,
        "kNN-15": baselines.knn_smoothing,
    }
    parts = {"held out": _counts(held_out, 500), "test": _counts(test, _MOST_TEST)}
    scores: dict[float, dict[str, ImputationScore]] = {}
    for ratio in ratios:
        masks = {
            name: _frozen_masks(counts.shape, rows, ratio)
            for name, (counts, rows) in parts.items()
        }
        scores[ratio] = {}
        for name, method in methods.items():
            status(f"ratio {ratio:g}, {name}")
            tuned = _dispersion(parts["held out"][0], masks["held out"], method)
            scores[ratio][name] = _score(
                parts["test"][0], masks["test"], method, tuned, baselines
            )
    return scores


def compare(
    ours: ImputationScore, theirs: ImputationScore
) -> dict[str, tuple[float, float]]:
    """(difference, 95 % half-width): pearson paired by gene, negative_binomial by cell."""
    both = np.isfinite(ours.by_gene) & np.isfinite(theirs.by_gene)
    return {
        "pearson": paired_interval(ours.by_gene[both], theirs.by_gene[both]),
        "negative_binomial": paired_interval(ours.by_cell, theirs.by_cell),
    }


def _counts(source: Any, most: int) -> tuple[Values, npt.NDArray[np.int64]]:
    """(counts (B, G), rows (B,) in the data set) of at most `most` evenly spaced cells."""
    from r2mae.data.source import root_of

    cells: Any = root_of(source)
    inner = torch.linspace(
        0, len(source) - 1, min(most, len(source)), dtype=torch.float64
    ).long()
    rows = source.root_indices(inner).numpy() if source is not cells else inner.numpy()
    return cells.dense(rows), rows


def _frozen_masks(
    shape: tuple[int, ...], rows: npt.NDArray[np.int64], ratio: float
) -> Bools:
    """(B, G) bool: equally many masked genes a cell, chosen by its row and the ratio alone."""
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
    """Expected counts (B, G) under the model."""
    device = next(model.parameters()).device
    with torch.no_grad():
        imputed = model.impute(
            torch.from_numpy(counts).to(device), torch.from_numpy(is_masked).to(device)
        )
    return np.asarray(imputed.cpu().numpy())


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
    """The dispersion, from a grid, of the highest likelihood of masked counts of held-out cells."""
    totals = np.zeros(len(_DISPERSIONS))
    for values, hidden, rates in _batches(counts, is_masked, method):
        masked, expected = values[hidden], rates[hidden]
        totals += [
            _negative_binomial(masked, expected, dispersion).sum()
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
    sums, nonzero = np.zeros((6, counts.shape[1])), np.zeros(counts.shape[1])
    poisson, by_cell = 0.0, []
    for values, hidden, rates in _batches(counts, is_masked, method):
        totals = np.maximum(values.sum(axis=1, keepdims=True), 1)
        truth = np.log1p(values * (PER / totals))
        scale = PER / baselines.sizes(values, hidden)
        guess = np.zeros(hidden.shape)
        masked_scale = np.broadcast_to(scale, hidden.shape)[hidden]
        guess[hidden] = expected_log(rates[hidden], masked_scale, dispersion)
        sums += _moments(truth, guess, hidden)
        nonzero += (hidden & (values > 0)).sum(axis=0)
        poisson += float(np.where(hidden, _poisson(values, rates), 0).sum())
        likelihoods = _negative_binomial(values, rates, dispersion)
        of_cells = np.where(hidden, likelihoods, 0).sum(axis=1)
        by_cell.extend(of_cells / hidden.sum(axis=1))
    by_gene = _correlations(sums)
    by_gene[nonzero < _LEAST_HIDDEN] = np.nan
    cells = np.array(by_cell)
    return ImputationScore(
        pearson=float(np.nanmean(by_gene)),
        poisson=poisson / int(is_masked.sum()),
        negative_binomial=float(cells.mean()),
        by_gene=by_gene,
        by_cell=cells,
    )


def expected_log(rates: Values | Floats, scale: Floats, dispersion: float) -> Floats:
    """(N,) expectations of log1p(scale * count), for negative binomial counts.

    By Jensen's inequality they lie below log1p(scale * rate), most for genes of few counts.

    rates: (N,) means of the counts. scale: (N,).
    """
    rates = rates.astype(np.float64)
    step = rates / (dispersion + rates)
    probability = np.exp(-dispersion * np.log1p(rates / dispersion))
    total, mean, expected = (
        probability.copy(),
        np.zeros_like(rates),
        np.zeros_like(rates),
    )
    for count in range(1, _SUMMED_COUNTS):
        probability *= (count - 1 + dispersion) / count * step
        total += probability
        mean += count * probability
        expected += probability * np.log1p(count * scale)
    rest = np.maximum(1 - total, 0)
    larger = np.maximum(rates - mean, 0) / np.maximum(rest, 1e-12)
    larger = np.where(rest > 1e-12, larger, 0)
    return np.asarray(expected + rest * np.log1p(larger * scale))


def _moments(truth: Any, guess: Any, hidden: Bools) -> Floats:
    """(6, G) sums over masked entries (B, G) of 1, x, y, x^2, y^2, x y; x is truth, y is guess."""
    terms = (np.ones_like(truth), truth, guess, truth**2, guess**2, truth * guess)
    return np.stack([np.where(hidden, term, 0).sum(axis=0) for term in terms])


def _correlations(sums: Floats) -> Floats:
    """(G,) Pearson correlations of (6, G) `_moments`: 0 if the guess is constant, nan if the truth is."""
    count, x, y, xx, yy, xy = sums / np.maximum(sums[0], 1)
    spread_x, spread_y = np.maximum(xx - x**2, 0), np.maximum(yy - y**2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = (xy - x * y) / np.sqrt(spread_x * spread_y)
    pearson = np.where(spread_y > 1e-10, pearson, 0.0)
    pearson[(spread_x <= 1e-10) | (count == 0)] = np.nan
    return np.asarray(pearson)


def _poisson(values: Any, rates: Any) -> Floats:
    """Log-likelihoods (B, G) of counts under Poisson rates."""
    from scipy.special import gammaln

    return np.asarray(values * np.log(rates) - rates - gammaln(values + 1))


def _negative_binomial(values: Any, rates: Any, dispersion: float) -> Floats:
    """Log-likelihoods under negative binomials of variance rate + rate^2 / dispersion."""
    from scipy.special import gammaln

    log_sum = np.log(dispersion + rates)
    fixed = gammaln(values + dispersion) - gammaln(dispersion) - gammaln(values + 1)
    return np.asarray(
        fixed
        + dispersion * (np.log(dispersion) - log_sum)
        + values * (np.log(rates) - log_sum)
    )
