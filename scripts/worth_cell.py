"""What an encoder of cells is worth: worth.py --wing cell.

The MLP of recipes/cell/pbmc3k_mlp.yaml over the 2,000 most variable genes of three data sets. It is pretrained on
four fifths of the cells, and everything is measured on the fifth, in five folds with a seed each:
- labels: kNN and linear probe on frozen features, also with a part of each test cell hidden; the probe has then seen
  complete cells alone, or copies with as much hidden too. Leiden clusters of all, at the resolution of the highest NMI
  and at 1. The labels of pbmc3k and baron_mouse1 come from clustering the same counts, which favours PCA.
- halves: every cell's counts are split in two at random; ridge regression from features of one half to log1p counts of
  the other, fitted on training cells with a strength chosen there, correlated by gene on test cells.
- imputation: 30 % of genes hidden.
Baselines: 50 principal components of log1p counts per 10,000, which complete hidden genes by their conditional mean;
and scVI (10 latent dimensions) with as much CPU time, if --scvi names an interpreter with scvi-tools.
"""

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.metrics import balanced_accuracy_score
from worth_runs import (
    DATA,
    ROOT,
    Scores,
    cpu_seconds,
    merged,
    named,
    probes,
    r2mae,
    train,
)

EPOCHS = {"pbmc3k": 30, "worm_neuron": 15, "baron_mouse1": 60}
NAMES = tuple(EPOCHS)
PEERS = ("PCA-50", "scVI")
FOLDS, LEAST_CELLS, HIDDEN = 5, 20, (0, 0.25, 0.5, 0.75, 0.9)
# Folds share training cells, so their scores are not independent (Nadeau and Bengio 2003).
WIDENING = (1 + FOLDS / (FOLDS - 1)) ** 0.5
JOINED = ", --pool concat"  # features of networks beside their principal components
STRENGTHS = np.logspace(0, 4, 9)  # of ridge regression, chosen by leave-one-out
PROBES = {"knn": "kNN", "linear_probe": "linear probe"}


def prepare(name: str, work: Path) -> dict[str, Path]:
    """The cells with a fold each, and with either half of their counts."""
    paths = {part: work / f"{name}_{part}.h5ad" for part in ("whole", "one", "other")}
    if not all(path.is_file() for path in paths.values()):
        (source,) = (DATA / "single_cell" / name).glob("*.h5ad")
        cells = anndata.read_h5ad(source)
        draw = np.random.default_rng(0)
        cells.obs["fold"] = draw.permutation(np.arange(cells.n_obs) % FOLDS).astype(str)
        counts = sparse.csr_matrix(cells.X)
        one = counts.copy()
        one.data = draw.binomial(counts.data.astype(int), 0.5).astype(np.float32)
        for part, matrix in (("whole", counts), ("one", one), ("other", counts - one)):
            matrix.eliminate_zeros()
            anndata.AnnData(matrix, obs=cells.obs, var=cells.var[[]]).write_h5ad(
                paths[part]
            )
    return paths


def pretrain(
    name: str, fold: int, work: Path, paths: dict[str, Path]
) -> tuple[str, float]:
    """Pretrain on the other folds; the run's name, and CPU seconds."""
    run = f"{name}_{fold}"
    values = [
        "data.card=cell_files",
        f"data.root={paths['whole']}",
        "data.label_column=cell_type",
        "data.genes={min_cells: 3, top_variable: 2000}",
        f"data.min_class_cells={LEAST_CELLS}",
        f"data.test={{column: fold, values: ['{fold}']}}",
        f"schedule={{epochs: {EPOCHS[name]}, warmup_epochs: 1, decay: cosine}}",
        f"seed={fold}",
        "watch={knn: false, linear_probe: false, ratios: [0.3], samples: 200}",
    ]
    return run, train(work, "pretrain", run, "cell/pbmc3k_mlp.yaml", *values)


def measure(name: str, fold: int, work: Path, scvi: str | None) -> Scores:
    """Scores of one fold.

    scvi: an interpreter with scvi-tools.
    """
    paths = prepare(name, work)
    run, training_seconds = pretrain(name, fold, work, paths)
    seconds = {"r2mae": training_seconds}
    hidden = ",".join(map(str, HIDDEN))
    options = ["--task", ",".join(PROBES), "--hidden", hidden]
    copies = [*options, "--hide-in-training"]
    cells = read_cells(work, run, paths)
    peers: dict[str, np.ndarray] = {}
    parts = [
        probes(work, run, copies, "balanced_accuracy", PROBES, ", also in training"),
        probes(work, run, options, "balanced_accuracy", PROBES),
        clusters(work, run),
        imputation(work, run),
    ]
    if scvi is not None:
        before, place = cpu_seconds(), work / f"{run}_scvi.npz"
        latent = scvi_features(cells, place, scvi, training_seconds)
        seconds["scVI"] = cpu_seconds() - before
        parts.append(label_scores(latent["whole"], cells.labels, cells.rows))
        peers["scVI"] = latent["one"]
    return merged(
        [*parts, halves(cells, peers), joined(work, run), {"CPU seconds": seconds}]
    )


def joined(work: Path, run: str) -> Scores:
    """Labels by the features beside their principal components, also with half of each test cell hidden."""
    pool = ["--pool", "concat"]
    options = ["--task", ",".join(PROBES), "--hidden", "0,0.5", *pool]
    scores = merged(
        [
            probes(work, run, options, "balanced_accuracy", PROBES),
            clusters(work, run, *pool),
        ]
    )
    return {f"{measure}{JOINED}": values for measure, values in scores.items()}


def clusters(work: Path, run: str, *more: str) -> Scores:
    """Adjusted Rand index of Leiden clusters, at the resolution of the highest NMI and at 1."""
    options = ["--task", "clustering", "--baselines", "--json", *more]
    document = json.loads(r2mae(work, "evaluate", f"runs/{run}", *options))
    return merged(
        [
            cluster_rows(named(method), score)
            for method, score in document["scores"].items()
        ]
    )


def cluster_rows(method: str, score: dict[str, float]) -> Scores:
    """Adjusted Rand indices of `cluster_scores` as rows of the table."""
    return {
        "Leiden ARI, best resolution": {method: score["ari"]},
        "Leiden ARI, resolution 1": {method: score["ari_at_resolution_1"]},
    }


def imputation(work: Path, run: str) -> Scores:
    """Pearson by gene, and log-likelihood."""
    options = ["--task", "imputation", "--ratios", "0.3", "--json"]
    (row,) = json.loads(r2mae(work, "evaluate", f"runs/{run}", *options))["rows"]
    return {
        f"imputation, {key}": {
            named(method): score[key] for method, score in row["scores"].items()
        }
        for key in ("pearson", "negative_binomial")
    }


@dataclass(frozen=True)
class Cells:
    """A run and its data: rows of each split, labels, and dense counts of each of the `prepare`d files."""

    loaded: Any
    sources: dict[str, Any]
    rows: dict[str, np.ndarray]
    labels: np.ndarray
    counts: dict[str, np.ndarray]


def read_cells(work: Path, run: str, paths: dict[str, Path]) -> Cells:
    """The run with its splits and halves of counts."""
    from r2mae.modalities.cell.assembly import open_paths, open_split
    from r2mae.recipe.run import load_run

    loaded = load_run(str(work / "runs" / run))
    splits: dict[str, Any] = {
        split: open_split(loaded.recipe, split) for split in ("train", "test")
    }
    sources = {
        part: open_paths(loaded.recipe, [str(path)]) for part, path in paths.items()
    }
    return Cells(
        loaded,
        sources,
        rows={split: source.rows.numpy() for split, source in splits.items()},
        labels=splits["train"].source.labels,
        counts={
            part: source.dense(np.arange(len(source)))
            for part, source in sources.items()
        },
    )


def halves(cells: Cells, peers: dict[str, np.ndarray]) -> Scores:
    """Prediction of half of the counts from features of the other half, by ridge regression.

    peers: features (N, D) of cells' one half, by method.
    """
    from r2mae.evaluation.compared import compared_encoders
    from r2mae.evaluation.features import extract
    from r2mae.evaluation.read_out import ReadOut

    logs = {part: log_normalize(values) for part, values in cells.counts.items()}

    def pca(count: int) -> np.ndarray:
        fitted = PCA(count, random_state=0).fit(logs["whole"][cells.rows["train"]])
        return fitted.transform(logs["one"])

    def correlations(features: dict[str, np.ndarray]) -> dict[str, float]:
        return {
            method: predict_half(each, logs["other"], cells.rows)
            for method, each in features.items()
        }

    of_peers = correlations({"PCA-50": pca(50)} | peers)
    scores: Scores = {}
    for key, pool in (
        ("halves, Pearson", None),
        (f"halves, Pearson{JOINED}", "concat"),
    ):
        loaded = replace(cells.loaded, read_out=ReadOut(pool=pool))
        features = {
            named(encoder.name): extract(encoder.model, cells.sources["one"])
            for encoder in compared_encoders(loaded, baselines=True)
            if encoder.kind == "embed"
        }
        count = features["r2mae"].shape[1]  # PCA with as many features too
        features[f"PCA-{count}"] = pca(count)
        scores[key] = correlations(features) | of_peers
    return scores


def scvi_features(
    cells: Cells, place: Path, scvi: str, seconds: float
) -> dict[str, np.ndarray]:
    """scVI's features of complete cells and of their one half, trained for as many CPU seconds."""
    counts = {part: cells.counts[part] for part in ("whole", "one")}
    np.savez(place, train=cells.rows["train"], **counts)
    peer = str(ROOT / "scripts" / "peer_scvi.py")
    command = [scvi, peer, str(place), f"{seconds:.0f}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with np.load(place) as latent:
        features = dict(latent)
    place.unlink()
    return features


def label_scores(
    features: np.ndarray, labels: np.ndarray, rows: dict[str, np.ndarray]
) -> Scores:
    """Probes and clusters of scVI's features."""
    from r2mae.evaluation.features import LabelledFeatures
    from r2mae.metrics.knn import knn_predict
    from r2mae.metrics.linear_probe import linear_probe_predict
    from r2mae.modalities.cell.clustering import cluster_scores

    train, test = (part[labels[part] >= 0] for part in (rows["train"], rows["test"]))
    truth, both = labels[test], np.concatenate([train, test])
    scores: Scores = {}
    for name, predict in (
        ("kNN", knn_predict),
        ("linear probe", linear_probe_predict),
    ):
        predicted = predict(features[train], labels[train], features[test], truth)
        accuracy = balanced_accuracy_score(truth, predicted)
        scores[f"{name}, all labels a class, 0% hidden"] = {"scVI": float(accuracy)}
    data = LabelledFeatures(features[both], labels[both])
    return scores | cluster_rows("scVI", cluster_scores(data))


def log_normalize(counts: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000."""
    from r2mae.modalities.cell.normalization import log_normalize

    return log_normalize(counts)


def predict_half(
    features: np.ndarray, other: np.ndarray, rows: dict[str, np.ndarray]
) -> float:
    """Mean correlation by gene, of genes with at least 10 counts in test cells."""
    train, test = rows["train"], rows["test"]
    mean, spread = features[train].mean(axis=0), features[train].std(axis=0) + 1e-8
    ridge = RidgeCV(STRENGTHS).fit((features[train] - mean) / spread, other[train])
    guess, truth = ridge.predict((features[test] - mean) / spread), other[test]
    is_expressed = (truth > 0).sum(axis=0) >= 10
    guess, truth = (part[:, is_expressed] for part in (guess, truth))
    guess, truth = guess - guess.mean(axis=0), truth - truth.mean(axis=0)
    norms = np.linalg.norm(guess, axis=0) * np.linalg.norm(truth, axis=0)
    return float(((guess * truth).sum(axis=0) / np.maximum(norms, 1e-12)).mean())
