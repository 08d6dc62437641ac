"""PCA-50 of cells with hidden genes."""

import numpy as np

from r2mae.modalities.cell.wing import WING


def test_components_of_cells_with_hidden_genes_are_those_of_complete_cells():
    draw = np.random.default_rng(0)
    # Two programs of 9 genes: the 6 visible ones determine the others.
    cells = draw.normal(size=(60, 2)) @ draw.normal(size=(2, 9)) + 1
    train, test = cells[:50].astype(np.float32), cells[50:].astype(np.float32)
    expected = WING.baseline_features(train, test)
    hidden = test.copy()
    hidden[:, [0, 4, 7]] = np.nan
    features = WING.baseline_features(train, hidden)
    np.testing.assert_array_equal(features[0], expected[0])
    np.testing.assert_allclose(features[1], expected[1], atol=1e-3)
