"""Copies of training samples with a part hidden."""

import numpy as np

from r2mae.evaluation.features import LabelledFeatures
from r2mae.evaluation.hidden_copies import places_of, with_copies


def test_a_draw_takes_samples_and_their_own_copies():
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    complete = LabelledFeatures(features, np.array([3, 1, 4, 1]))
    both = with_copies(complete, LabelledFeatures(-features, complete.labels))
    rows = np.array([3, 5, 8, 9])
    (draw,) = places_of([np.array([8, 3])], rows, copied=True)
    assert both.features[draw].tolist() == [[4, 5], [0, 1], [-4, -5], [0, -1]]
    assert both.labels[draw].tolist() == [4, 3, 4, 3]
    (alone,) = places_of([np.array([8, 3])], rows)
    assert alone.tolist() == [2, 0]
    assert places_of(None, rows, copied=True) is None
