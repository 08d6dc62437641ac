"""Leiden clusters of features compared with labels, silhouette score, and UMAP."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures

_NEIGHBORS, _RESOLUTION = 15, 1.0


def cluster_scores(data: LabelledFeatures) -> dict[str, float]:
    """{ari, nmi, silhouette, clusters} of Leiden clusters (15 neighbours, resolution 1).

    ari, nmi: adjusted Rand index and normalized mutual information of clusters and labels.
    silhouette: silhouette score of the labels. clusters: number of Leiden clusters.

    Source: Traag et al. 2019; scanpy's neighbours and Leiden; scikit-learn's scores.
    """
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    labels = data.labels
    clusters = _clusters(data.features)
    scores = {
        "ari": adjusted_rand_score(labels, clusters),
        "nmi": normalized_mutual_info_score(labels, clusters),
        "silhouette": silhouette_score(data.features, labels),
        "clusters": len(np.unique(clusters)),
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


def _clusters(features: npt.NDArray[np.float32]) -> npt.NDArray[np.str_]:
    """(N,) Leiden clusters."""
    import scanpy

    adata = _neighbor_graph(features)
    scanpy.tl.leiden(
        adata,
        resolution=_RESOLUTION,
        flavor="igraph",
        n_iterations=2,
        directed=False,
        random_state=0,
    )
    return np.asarray(adata.obs["leiden"].to_numpy(dtype=str))


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
