"""What a cell encoder is worth on three real data sets, five folds with a seed each; the last line is JSON.

Run: python scripts/cells.py WORK   (CPU, about half an hour; continues where it was stopped)

The MLP of recipes/cell/pbmc3k_mlp.yaml is pretrained on four fifths of the cells, everything is measured on the fifth:
- labels: kNN and linear probe on frozen features; types with at least 20 cells. These labels come from clustering the
  same counts, which favours PCA.
- halves: every cell's counts are split in two at random; ridge regression from features of one half to log1p counts of
  the other, fitted on training cells, correlated by gene on test cells.
- imputation: 30 % of genes hidden, against gene mean, PCA and kNN smoothing.
Baselines: 50 principal components of log1p counts a 10,000, and the same encoder untrained.
"""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score

from r2mae.evaluation.features import extract
from r2mae.metrics.interval import mean_interval
from r2mae.metrics.knn import knn_predict
from r2mae.metrics.linear_probe import linear_probe_predict
from r2mae.modalities.cell.imputation import compare, score_imputation
from r2mae.recipe.assembly import (
    build_model,
    open_paths,
    open_split,
    open_training_data,
)
from r2mae.recipe.run import load_run

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "single_cell"
SETS, FOLDS, LEAST = ("pbmc3k", "worm_neuron", "baron_mouse1"), 5, 20
PROBES = {"kNN": knn_predict, "linear probe": linear_probe_predict}


def prepare(name: str, work: Path) -> dict[str, Path]:
    """The cells with a fold each, and with either half of their counts."""
    paths = {part: work / f"{name}_{part}.h5ad" for part in ("whole", "one", "other")}
    if not all(path.is_file() for path in paths.values()):
        (source,) = (DATA / name).glob("*.h5ad")
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


def logs(counts: np.ndarray) -> np.ndarray:
    """log1p of counts a 10,000."""
    return np.log1p(counts * (1e4 / np.maximum(counts.sum(axis=1, keepdims=True), 1)))


def measure(name: str, fold: int, work: Path) -> dict[str, dict[str, float]]:
    """Scores of one fold by {measure: {method: score}}."""
    paths = prepare(name, work)
    run = work / "runs" / f"{name}_{fold}"
    settings = [
        f"data.root={paths['whole']}",
        "data.card=cell_files",
        "data.label_column=cell_type",
        f"seed={fold}",
    ]
    settings += [
        f"data.min_class_cells={LEAST}",
        f"data.test={{column: fold, values: ['{fold}']}}",
    ]
    settings += ["watch={knn: false, linear_probe: false, ratios: [0.3], samples: 200}"]
    command = [
        "r2mae",
        "pretrain",
        str(ROOT / "recipes" / "cell" / "pbmc3k_mlp.yaml"),
        "--name",
        run.name,
    ]
    subprocess.run(
        [*command, *(word for setting in settings for word in ("--set", setting))],
        cwd=work,
        check=True,
    )
    loaded = load_run(str(run))
    untrained = build_model(loaded.recipe).eval()
    train, test = open_split(loaded.recipe, "train"), open_split(loaded.recipe, "test")
    cells, rows = train.source, {"train": train.rows.numpy(), "test": test.rows.numpy()}
    whole = logs(cells.dense(np.arange(len(cells))))
    halves = {
        part: open_paths(loaded.recipe, [str(paths[part])]) for part in ("one", "other")
    }
    given, asked = (
        logs(source.dense(np.arange(len(source)))) for source in halves.values()
    )
    scores: dict[str, dict[str, float]] = {}
    encoders = {
        "run": lambda source, _: extract(loaded.model, source),
        "PCA-50": lambda _, values: (
            PCA(50, random_state=0).fit(values[rows["train"]]).transform(values)
        ),
        "untrained": lambda source, _: extract(untrained, source),
    }
    known = {split: found[cells.labels[found] >= 0] for split, found in rows.items()}
    for method, encode in encoders.items():
        features, half = encode(cells, whole), encode(halves["one"], given)
        sides = [
            features[known["train"]],
            cells.labels[known["train"]],
            features[known["test"]],
        ]
        for probe, predict in PROBES.items():
            truth = cells.labels[known["test"]]
            guess = predict(*sides, truth)
            scores.setdefault(f"{probe}, balanced accuracy", {})[method] = (
                balanced_accuracy_score(truth, guess)
            )
            f1 = f1_score(truth, guess, average="macro", zero_division=0)
            scores.setdefault(f"{probe}, macro F1", {})[method] = f1
        scores.setdefault("halves, Pearson", {})[method] = predict_half(
            half, asked, rows
        )
    train, held_out = open_training_data(loaded.recipe)
    found = score_imputation(loaded.model, train, held_out, test, [0.3])[0.3]
    for key in ("pearson", "negative_binomial"):
        scores[f"imputation, {key}"] = {
            method: score.to_dict()[key] for method, score in found.items()
        }
    scores["imputation, run - other by items"] = {
        other: compare(found["run"], score)["negative_binomial"]
        for other, score in found.items()
        if other != "run"
    }
    return scores


def predict_half(
    features: np.ndarray, asked: np.ndarray, rows: dict[str, np.ndarray]
) -> float:
    """Mean correlation by gene, of genes with at least 10 counts in test cells."""
    mean, spread = (
        features[rows["train"]].mean(axis=0),
        features[rows["train"]].std(axis=0) + 1e-8,
    )
    ridge = Ridge(alpha=10.0).fit(
        (features[rows["train"]] - mean) / spread, asked[rows["train"]]
    )
    guess, truth = (
        ridge.predict((features[rows["test"]] - mean) / spread),
        asked[rows["test"]],
    )
    seen = (truth > 0).sum(axis=0) >= 10
    guess, truth = (
        guess[:, seen] - guess[:, seen].mean(axis=0),
        truth[:, seen] - truth[:, seen].mean(axis=0),
    )
    norms = np.linalg.norm(guess, axis=0) * np.linalg.norm(truth, axis=0)
    return float(((guess * truth).sum(axis=0) / np.maximum(norms, 1e-12)).mean())


def main() -> None:
    work = Path(sys.argv[1]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in SETS:
        for fold in range(FOLDS):
            kept = work / f"{name}_{fold}.json"
            if not kept.is_file():
                kept.write_text(json.dumps(measure(name, fold, work)))
            for key, by_method in json.loads(kept.read_text()).items():
                for method, score in by_method.items():
                    results.setdefault(name, {}).setdefault(key, {}).setdefault(
                        method, []
                    ).append(score)
    for name, by_key in results.items():
        print(
            f"{name}: mean over {FOLDS} folds; run - other with a 95 % interval over folds"
        )
        for key, methods in by_key.items():
            if key.endswith("items"):
                continue
            cells = [f"run {np.mean(methods['run']):.4f}"]
            for method, values in methods.items():
                if method != "run":
                    more, half = mean_interval(np.array(methods["run"]) - values)
                    cells.append(
                        f"{method} {np.mean(values):.4f} ({more:+.4f} ± {half:.4f})"
                    )
            print(f"  {key:<32}{'   '.join(cells)}")
    print(f"cells: {json.dumps(results)}")


if __name__ == "__main__":
    main()
