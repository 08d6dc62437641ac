"""Leiden clusters of features compared with labels, silhouette score, and UMAP.

N cells, D features.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures

_NEIGHBORS = 15
_RESOLUTIONS = [0.1 * step for step in range(1, 21)]


def cluster_scores(data: LabelledFeatures) -> dict[str, float]:
    """Leiden clusters (15 neighbours) compared with labels.

    Of the resolutions 0.1, 0.2, ... 2.0, that of the highest nmi is used: features differ
    in the number of clusters that one resolution gives.

    Returns:
        ari, nmi: adjusted Rand index and normalized mutual information of clusters and labels.
        resolution, clusters: the chosen resolution, and its number of clusters.
        ari_at_resolution_1: ari at resolution 1, which is chosen without the labels.
        silhouette: silhouette score of the labels.

    Source: Traag et al. 2019 for Leiden; Luecken et al. 2022 (scIB) for the choice of the
    resolution; neighbours and Leiden of scanpy, scores of scikit-learn.
    """
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    labels = data.labels
    graph = _neighbor_graph(data.features)
    clusters = {each: _clusters(graph, each) for each in _RESOLUTIONS}
    similarity = {
        each: normalized_mutual_info_score(labels, clusters[each]) for each in clusters
    }
    best = max(similarity, key=similarity.__getitem__)
    scores = {
        "ari": adjusted_rand_score(labels, clusters[best]),
        "nmi": similarity[best],
        "resolution": round(best, 1),
        "clusters": len(np.unique(clusters[best])),
        "ari_at_resolution_1": adjusted_rand_score(labels, clusters[_RESOLUTIONS[9]]),
        "silhouette": silhouette_score(data.features, labels),
    }
    return {name: float(score) for name, score in scores.items()}


def _neighbor_graph(features: npt.NDArray[np.float32]) -> Any:
    """AnnData of features (N, D) with scanpy's graph of the 15 nearest neighbours."""
    import anndata
    import scanpy

    adata = anndata.AnnData(features)
    neighbors = min(_NEIGHBORS, len(features) - 1)
    scanpy.pp.neighbors(adata, n_neighbors=neighbors, use_rep="X", random_state=0)
    return adata


def _clusters(graph: Any, resolution: float) -> npt.NDArray[np.str_]:
    """(N,) Leiden clusters of a `_neighbor_graph`."""
    import scanpy

    scanpy.tl.leiden(
        graph,
        resolution=resolution,
        flavor="igraph",
        n_iterations=2,
        directed=False,
        random_state=0,
    )
    return np.asarray(graph.obs["leiden"].to_numpy(dtype=str))


def umap_coordinates(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 2) coordinates of scanpy's UMAP of features (N, D)."""
    import scanpy

    adata = _neighbor_graph(features)
    scanpy.tl.umap(adata, random_state=0)
    return np.asarray(adata.obsm["X_umap"])


def save_umap(data: LabelledFeatures, names: dict[int, str], path: Path) -> None:
    """Save a PNG of scanpy's UMAP of the features, coloured by class."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy

    adata = _neighbor_graph(data.features)
    adata.obs["class"] = [names.get(int(label), str(label)) for label in data.labels]
    scanpy.tl.umap(adata, random_state=0)
    figure = scanpy.pl.umap(adata, color="class", show=False, return_fig=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
