"""Numeric features of categorical tokens, such as words or bases, for the linear theory.

n: rows  L: positions of a row  T: positions of a window  C: categories  P: features
"""

import numpy as np
from numpy.typing import NDArray

from r2mae.advice.features import LEAST_SAMPLES, MAX_FEATURES, Floats
from r2mae.errors import InputError

Ids = NDArray[np.int64]
_REACH = 5  # distance of tokens that count as neighbours
_MAX_CATEGORIES = 1000  # the most frequent; others have the mean, 0, in every feature
_DIMENSIONS = 8  # features of a token, at most
_MAX_WINDOWS = 5000


def window_features(ids: Ids, num_rows: int) -> tuple[Floats, int]:
    """(features (n, T, P) of windows of T tokens, number of windows in the training set).

    Rows are cut into windows, which have at most as many features as the theory allows.
    Windows in which fewer than half of the tokens have a category are left out.

    ids: (n, L) token ids, -1 where a token is never masked.
    num_rows: rows of the training set, of which ids may be a sample.

    Raises: InputError for fewer than 20 windows or 2 categories.
    """
    table, codes = category_features(ids)
    length = min(MAX_FEATURES // table.shape[1], codes.shape[1])
    windows = codes[:, : codes.shape[1] // length * length].reshape(-1, length)
    is_full = (windows >= 0).mean(axis=1) >= 0.5
    if is_full.sum() < LEAST_SAMPLES:
        raise InputError(
            f"data must have at least {LEAST_SAMPLES} windows of {length} tokens, "
            f"got {is_full.sum()}. Use more samples."
        )
    total = round(num_rows * is_full.sum() / len(ids))
    windows = windows[is_full]
    chosen = np.linspace(0, len(windows) - 1, min(_MAX_WINDOWS, len(windows)))
    # Code -1 takes the last row, of zeros.
    padded = np.vstack([table, np.zeros((1, table.shape[1]))])
    return padded[windows[chosen.astype(int)]], total


def category_features(ids: Ids) -> tuple[Floats, Ids]:
    """(features (C, P) of the categories, codes (n, L) of ids, -1 without a category).

    Features have mean 0, variance 1 and no correlation over tokens. Of all linear maps
    of one-hot tokens, they keep most of the covariance with neighbouring tokens.

    Raises: InputError for fewer than 2 categories.
    Source: correspondence analysis of neighbouring tokens, as in Dhillon et al. 2015
    (Eigenwords).
    """
    present, counts = np.unique(ids[ids >= 0], return_counts=True)
    if len(present) < 2:
        raise InputError(
            f"data must have at least 2 different tokens, got {len(present)}."
        )
    frequent = np.sort(present[np.argsort(-counts)[:_MAX_CATEGORIES]])
    places = np.searchsorted(frequent, ids).clip(max=len(frequent) - 1)
    codes = np.where(frequent[places] == ids, places, -1)
    pairs = _count_neighbours(codes, len(frequent))
    shares = pairs.sum(axis=1) / pairs.sum()
    is_present = shares > 0
    scale = np.where(is_present, 1 / np.sqrt(np.where(is_present, shares, 1)), 0)
    covariance = pairs / pairs.sum() - np.outer(shares, shares)
    correlation = covariance * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlation)
    size = min(_DIMENSIONS, int(is_present.sum()) - 1)
    strongest = np.argsort(-np.abs(values))[:size]
    return vectors[:, strongest] * scale[:, None], codes


def _count_neighbours(codes: Ids, size: int) -> Floats:
    """(C, C) symmetric counts of pairs of tokens at most `_REACH` apart."""
    pairs = np.zeros(size * size)
    for distance in range(1, min(_REACH, codes.shape[1] - 1) + 1):
        left, right = codes[:, :-distance], codes[:, distance:]
        both = (left >= 0) & (right >= 0)
        flat = left[both] * size + right[both]
        pairs += np.bincount(flat, minlength=size * size)
    table = pairs.reshape(size, size)
    return table + table.T
