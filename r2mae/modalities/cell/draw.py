"""A map of held-out cells for `r2mae report`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.source import SampleSource
from r2mae.evaluation.features import extract
from r2mae.loaded_run import LoadedRun
from r2mae.page.figure import plot_points
from r2mae.page.markup import paragraph

_MOST = 2000  # cells drawn
_FEWEST_FOR_UMAP = 100


def draw_samples(loaded: LoadedRun) -> str:
    """Held-out cells by the encoder's features, coloured by class where it is known."""
    source, _ = loaded.held_out(1)
    rows = np.arange(min(_MOST, len(source)))
    features = extract(loaded.model, source, rows=rows)
    name, points = _project(features)
    figure = plot_points(points, _classes(source, rows), f"{name} 1", f"{name} 2")
    text = f"{name} of the features of {len(rows):,} held-out cells, without masking."
    return paragraph(text) + figure


def _project(features: npt.NDArray[np.float32]) -> tuple[str, Any]:
    """(name of the method, coordinates (N, 2))."""
    if len(features) >= _FEWEST_FOR_UMAP:
        from r2mae.modalities.cell.clustering import umap_coordinates

        return "UMAP", umap_coordinates(features)
    centred = features - features.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    return "PCA", left[:, :2] * lengths[:2]


def _classes(source: SampleSource, rows: npt.NDArray[np.int64]) -> list[str]:
    labels = source.labels
    if labels is None:
        return ["cells"] * len(rows)
    names = source.class_names
    return [names.get(int(label), "unlabelled") for label in labels[rows]]
