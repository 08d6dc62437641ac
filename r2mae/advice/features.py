"""Token features for the linear theory: standardised and whitened within each token.

n: samples  T: tokens  P: values of a token  d: features
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.errors import InputError

Floats = NDArray[np.float64]
LEAST_SAMPLES = 20
MAX_FEATURES = 400
_EXPLAINED = 0.99  # share of a token's variance that its components keep
_CONSTANT = 1e-12  # of the mean variance: what counts as a constant token
_HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class TokenFeatures:
    """Standard scores of principal components within tokens.

    A token's values are masked together, so masking keeps blocks of the covariance. With
    fresh masks the loss is invariant to linear maps within tokens, and whitening turns
    the blocks into the identity. The only approximation is what the dropped components
    carry.
    """

    values: Floats  # (n, d) mean 0, variance 1
    tokens: NDArray[np.int64]  # (d,) token of each feature
    leading: NDArray[np.int64]  # (T,) index of the first component of each token
    explained: float  # share of the variance kept; 0.99 unless d reached 400
    constant_tokens: int  # left out


def whiten_tokens(tokens: ArrayLike) -> TokenFeatures:
    """Features of token values (n, T, P), or (n, T) where a token is one value.

    Raises: InputError for fewer than 20 samples, NaN, or constant data.
    """
    raw = _check_tokens(tokens)
    raw = raw - raw.mean(axis=0)
    varying = _varying_tokens(raw)
    # With very many tokens, evenly spaced ones stand for all.
    kept = varying
    if len(varying) > MAX_FEATURES:
        places = np.linspace(0, len(varying) - 1, MAX_FEATURES).astype(int)
        kept = varying[places]
    max_components = max(MAX_FEATURES // len(kept), 1)
    parts: list[Floats] = []
    labels: list[int] = []
    leading: list[int] = []
    explained = total = 0.0
    for token in kept:
        scores, variances = _principal_components(raw[:, token])
        shares = np.cumsum(variances) / variances.sum()
        enough = int(np.searchsorted(shares, _EXPLAINED)) + 1
        count = min(enough, max_components, len(variances))
        leading.append(len(labels))
        labels += [int(token)] * count
        parts.append(scores[:, :count])
        explained += variances[:count].sum()
        total += variances.sum()
    return TokenFeatures(
        np.concatenate(parts, axis=1),
        np.array(labels),
        np.array(leading),
        explained / total,
        raw.shape[1] - len(varying),
    )


def _check_tokens(tokens: ArrayLike) -> Floats:
    """Token values as float64 (n, T, P)."""
    raw = np.asarray(tokens, dtype=np.float64)
    if raw.ndim == 2:
        raw = raw[:, :, None]
    if raw.ndim != 3 or len(raw) < LEAST_SAMPLES:
        raise InputError(
            f"data must have at least {LEAST_SAMPLES} samples, got {len(raw)}. "
            "Use more samples."
        )
    if not np.isfinite(raw).all():
        row = int(np.argwhere(~np.isfinite(raw))[0][0])
        raise InputError(
            f"data must be finite, got NaN or infinity in sample {row}. Leave it out."
        )
    return raw


def _varying_tokens(centred: Floats) -> NDArray[np.int64]:
    """Indices of the tokens of (n, T, P) that are not constant."""
    variances = centred.var(axis=0).sum(axis=1)
    varying = np.flatnonzero(variances > _CONSTANT * centred.var())
    if len(varying) < 2:
        raise InputError(
            "data must have at least 2 tokens that vary, "
            f"got {len(varying)} of {centred.shape[1]}."
        )
    return varying


def _principal_components(centred: Floats) -> tuple[Floats, Floats]:
    """Standard scores (n, K) and variances (K,) of the components of (n, P)."""
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    return left * np.sqrt(len(centred)), scales**2


@dataclass(frozen=True)
class Shrunk:
    """A Ledoit-Wolf covariance with unit variances."""

    covariance: Floats  # (d, d)
    shrinkage: float  # weight of the diagonal target, 0 to 1
    gain: float  # held-out log-likelihood above that of independent features, see below


def shrink(
    features: TokenFeatures, rows: Any = slice(None), check: bool = True
) -> Shrunk:
    """Ledoit-Wolf covariance of some rows of the features, by default all.

    check: whether to measure the gain; it is NaN otherwise.

    Source: Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional
    covariance matrices.
    """
    # Imported here because it is slow to load.
    from sklearn.covariance import ledoit_wolf

    values = features.values[rows]
    covariance, shrinkage = ledoit_wolf(values)
    # Shrinkage leaves variances near 1; the theory needs them equal.
    scale = np.sqrt(np.diag(covariance))
    gain = _held_out_gain(values) if check else float("nan")
    return Shrunk(covariance / np.outer(scale, scale), float(shrinkage), gain)


def _held_out_gain(values: Floats) -> float:
    """Gaussian log-likelihood of held-out rows above that of independent features.

    In nats per feature and sample. Every fifth row of values (n, d) is held out and the
    covariance is fitted to the others.
    """
    from sklearn.covariance import ledoit_wolf

    is_held_out = np.arange(len(values)) % _HELD_OUT_EVERY == 0
    fitted, _ = ledoit_wolf(values[~is_held_out])
    held_out = values[is_held_out] - values[~is_held_out].mean(axis=0)
    second = held_out.T @ held_out / len(held_out)
    diagonal = np.diag(fitted)
    joint = np.linalg.slogdet(fitted)[1] + np.trace(np.linalg.solve(fitted, second))
    independent = np.log(diagonal).sum() + (np.diag(second) / diagonal).sum()
    return float((independent - joint) / 2 / values.shape[1])
