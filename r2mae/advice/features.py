"""A recipe's data as the linear theory sees it: token features of variance 1, uncorrelated within their token.

n: samples  T: tokens  P: values of a token  d: features
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.errors import InputError

Floats = NDArray[np.float64]
LEAST_SAMPLES = 20
_MAX_FEATURES = 400
_EXPLAINED = 0.99


@dataclass(frozen=True)
class TokenFeatures:
    """Standard scores of principal components within tokens.

    A token's values hide together, so the masked covariance keeps blocks. Fresh masks make the loss invariant to
    linear maps within tokens, and whitening turns the blocks into the identity: nothing is approximated but what the
    components left out carried (`explained` is kept, at least 0.99 of a token's variance unless d reached 400).
    """

    values: Floats  # (n, d)
    tokens: NDArray[np.int64]  # (d,)
    leading: NDArray[
        np.int64
    ]  # the first component of each token, as columns of values
    explained: float
    constant_tokens: int


def whiten_tokens(tokens: ArrayLike) -> TokenFeatures:
    """Features of (n, T, P) token values. Raises: InputError for fewer than 20 samples, NaN, or constant data."""
    raw = np.asarray(tokens, dtype=np.float64)
    if raw.ndim == 2:
        raw = raw[:, :, None]
    if raw.ndim != 3 or len(raw) < LEAST_SAMPLES:
        raise InputError(
            f"data must have at least {LEAST_SAMPLES} samples, got {len(raw)}. Use more."
        )
    if not np.isfinite(raw).all():
        row = int(np.argwhere(~np.isfinite(raw))[0][0])
        raise InputError(
            f"data must be finite, got NaN or infinity in sample {row}. Leave it out."
        )
    raw = raw - raw.mean(axis=0)
    varies = np.flatnonzero(raw.var(axis=0).sum(axis=1) > 1e-12 * raw.var())
    if len(varies) < 2:
        raise InputError(
            f"data must have at least 2 tokens that vary, got {len(varies)} of {raw.shape[1]}."
        )
    chosen = varies
    if len(varies) > _MAX_FEATURES:
        chosen = varies[np.linspace(0, len(varies) - 1, _MAX_FEATURES).astype(int)]
    most = max(_MAX_FEATURES // len(chosen), 1)
    parts: list[Floats] = []
    labels: list[int] = []
    leading: list[int] = []
    kept = total = 0.0
    for token in chosen:
        left, scales, _ = np.linalg.svd(raw[:, token], full_matrices=False)
        variances = scales**2
        shares = np.cumsum(variances) / variances.sum()
        count = min(int(np.searchsorted(shares, _EXPLAINED)) + 1, most, len(scales))
        leading.append(len(labels))
        labels += [int(token)] * count
        parts.append(left[:, :count] * np.sqrt(len(raw)))
        kept, total = kept + variances[:count].sum(), total + variances.sum()
    return TokenFeatures(
        np.concatenate(parts, axis=1),
        np.array(labels),
        np.array(leading),
        kept / total,
        raw.shape[1] - len(varies),
    )


@dataclass(frozen=True)
class Shrunk:
    """A Ledoit-Wolf covariance (d, d) with unit variances.

    gain: held-out Gaussian log-likelihood a feature and sample, in nats, above that of independent features.
    """

    covariance: Floats
    shrinkage: float
    gain: float


def shrink(
    features: TokenFeatures, rows: Any = slice(None), check: bool = True
) -> Shrunk:
    """Covariance of some rows (all by default) of the features; every fifth row judges one fitted on the others.

    Source: Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices.
    """
    from sklearn.covariance import ledoit_wolf

    values = features.values[rows]
    covariance, shrinkage = ledoit_wolf(values)
    scale = np.sqrt(np.diag(covariance))
    gain = float("nan")
    if check:
        judges = np.arange(len(values)) % 5 == 0
        fitted, _ = ledoit_wolf(values[~judges])
        held_out = values[judges] - values[~judges].mean(axis=0)
        second = held_out.T @ held_out / len(held_out)
        diagonal = np.diag(fitted)
        joint = np.linalg.slogdet(fitted)[1] + np.trace(np.linalg.solve(fitted, second))
        alone = np.log(diagonal).sum() + (np.diag(second) / diagonal).sum()
        gain = float((alone - joint) / 2 / values.shape[1])
    return Shrunk(covariance / np.outer(scale, scale), float(shrinkage), gain)
