"""Copies of training samples with a part hidden, so that a probe is trained on samples like those at test.

Shapes: N training samples, D features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures

Integers = npt.NDArray[np.int64]


def with_copies(
    complete: LabelledFeatures, copies: LabelledFeatures
) -> LabelledFeatures:
    """Features (2 N, D): complete samples, then their copies with a part hidden."""
    return LabelledFeatures(
        np.concatenate([complete.features, copies.features]),
        np.concatenate([complete.labels, copies.labels]),
    )


def places_of(
    draws: Sequence[Integers] | None, rows: Integers, copied: bool = False
) -> list[Integers] | None:
    """Places of draws of rows among features of rows (N,), which rise; None for all.

    copied: with the copies that `with_copies` puts behind the samples.
    """
    if draws is None:
        return None
    places = [np.searchsorted(rows, draw) for draw in draws]
    if not copied:
        return places
    return [np.concatenate([place, place + len(rows)]) for place in places]
