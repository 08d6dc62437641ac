"""Clusters are compared with labels at the resolution that fits these best."""

import numpy as np
import pytest

from r2mae.evaluation.features import LabelledFeatures
from r2mae.modalities.cell.clustering import cluster_scores


def test_types_of_several_groups_are_found_at_a_low_resolution():
    draw = np.random.default_rng(0)
    types, groups = np.repeat(np.arange(2), 400), np.tile(np.arange(4), 200)
    centres = 60 * np.eye(2, 8)[types] + 2 * np.eye(8)[4:][groups]
    features = (centres + draw.normal(size=(800, 8))).astype(np.float32)
    scores = cluster_scores(LabelledFeatures(features, types))
    assert scores["ari"] == scores["nmi"] == pytest.approx(1.0)
    assert scores["clusters"] == 2
    assert scores["resolution"] < 1
    assert scores["ari_at_resolution_1"] < 0.6
    assert 0.5 < scores["silhouette"] <= 1


def test_noise_has_no_clusters_that_fit_labels():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(120, 8)).astype(np.float32)
    scores = cluster_scores(LabelledFeatures(features, draw.integers(0, 3, 120)))
    assert abs(scores["ari"]) < 0.1
    assert abs(scores["silhouette"]) < 0.1
