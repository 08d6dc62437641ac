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


def places_with_copies(draws: Sequence[Integers], size: int) -> list[Integers]:
    """Draws of N = size samples, each with its copies as `with_copies` places them."""
    return [np.concatenate([draw, draw + size]) for draw in draws]
