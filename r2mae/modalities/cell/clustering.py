"""Whether clusters of features are the classes: Leiden against labels, silhouettes, and a picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.features import LabelledFeatures

_NEIGHBORS, _RESOLUTION = 15, 1.0


def cluster_scores(data: LabelledFeatures) -> dict[str, float]:
    """{ari, nmi of Leiden clusters (15 neighbours, resolution 1) with the labels, silhouette of the labels, clusters}.

    Source: Traag et al. 2019; scanpy's neighbours and Leiden; scikit-learn's scores.
    """
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    clusters = _clusters(data.features)
    return {
        "ari": float(adjusted_rand_score(data.labels, clusters)),
        "nmi": float(normalized_mutual_info_score(data.labels, clusters)),
        "silhouette": float(silhouette_score(data.features, data.labels)),
        "clusters": float(len(np.unique(clusters))),
    }


def _clusters(features: npt.NDArray[np.float32]) -> npt.NDArray[np.str_]:
    import anndata
    import scanpy

    adata = anndata.AnnData(features)
    scanpy.pp.neighbors(
        adata,
        n_neighbors=min(_NEIGHBORS, len(features) - 1),
        use_rep="X",
        random_state=0,
    )
    scanpy.tl.leiden(
        adata,
        resolution=_RESOLUTION,
        flavor="igraph",
        n_iterations=2,
        directed=False,
        random_state=0,
    )
    return np.asarray(adata.obs["leiden"].to_numpy(dtype=str))


def save_umap(data: LabelledFeatures, names: dict[int, str], path: Path) -> None:
    """A PNG of scanpy's UMAP of the features, coloured by class."""
    import matplotlib

    matplotlib.use("Agg")
    import anndata
    import matplotlib.pyplot as plt
    import scanpy

    adata = anndata.AnnData(data.features)
    adata.obs["class"] = [names.get(int(label), str(label)) for label in data.labels]
    scanpy.pp.neighbors(
        adata,
        n_neighbors=min(_NEIGHBORS, len(data.labels) - 1),
        use_rep="X",
        random_state=0,
    )
    scanpy.tl.umap(adata, random_state=0)
    figure = scanpy.pl.umap(adata, color="class", show=False, return_fig=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
