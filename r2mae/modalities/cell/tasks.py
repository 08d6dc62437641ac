"""`r2mae evaluate --task imputation` and `--task clustering` for single cells."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.options import mask_ratios, png_path
from r2mae.progress import progress_bar, status_line
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result, require_pretraining

if TYPE_CHECKING:
    from r2mae.wing import Features

_COMPONENTS = 50


def add_imputation_arguments(parser: ArgumentParser) -> None:
    """`--ratios`."""
    parser.add_argument(
        "--ratios",
        type=mask_ratios,
        default="0.1,0.3,0.5",
        metavar="P,P,P",
        help="mask ratios: fractions of genes to mask",
    )


def check_imputation(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for a fine-tuned run, and for one on other values than raw counts."""
    require_pretraining(recipe, "imputation")
    if recipe.data.values != "counts":
        raise InputError(
            "task imputation must have a run on raw counts, got data.values "
            f"{recipe.data.values}. Use another recipe or run."
        )


def score_imputation(
    loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace
) -> Result:
    """Imputation of masked counts of test cells, compared with gene mean, PCA and kNN smoothing."""
    from r2mae.data.source import hold_out
    from r2mae.modalities.cell import imputation

    train, held_out = hold_out(
        loaded.wing.open_split(recipe, "train"), recipe.data.held_out
    )
    test = loaded.wing.open_split(recipe, "test")
    with status_line("imputation") as status:
        scores_at = imputation.score_imputation(
            loaded.model, train, held_out, test, arguments.ratios, status
        )
    rows = []
    for ratio, scores in scores_at.items():
        others = {name: score for name, score in scores.items() if name != "run"}
        rows.append(
            {
                "ratio": ratio,
                "scores": {name: score.to_dict() for name, score in scores.items()},
                "differences": {
                    name: imputation.compare(scores["run"], score)
                    for name, score in others.items()
                },
            }
        )
    return {"split": "test", "rows": rows}


def show_imputation(result: Result) -> None:
    """Print a line for each ratio and method."""
    print(
        "masked counts of test cells: Pearson correlation by gene, "
        "mean log-likelihood of a count in nats (run minus baseline ± 95 % interval)"
    )
    print(f"{'ratio':<7}{'':<12}{'pearson':<28}{'negative binomial':<30}poisson")
    for row in result["rows"]:
        for name, score in row["scores"].items():
            differences = row["differences"].get(name, {})
            pearson, likelihood = (
                f"{score[key]:.4f}{_difference(differences.get(key))}"
                for key in ("pearson", "negative_binomial")
            )
            print(
                f"{row['ratio']:<7g}{name:<12}{pearson:<28}{likelihood:<30}{score['poisson']:.4f}"
            )


def _difference(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else f"  ({pair[0]:+.4f} ± {pair[1]:.4f})"


def add_clustering_arguments(parser: ArgumentParser) -> None:
    """`--umap`."""
    text = "also save a UMAP of the features"
    parser.add_argument("--umap", type=png_path, metavar="FILE.png", help=text)


def check_clustering(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for cells without labels."""
    from r2mae.data.card import load_card

    if (recipe.data.label_column or load_card(recipe.data.card).label_column) is None:
        raise InputError(
            "task clustering must have a column of labels, got none in the recipe. "
            "Name one by --label."
        )


def score_clustering(
    loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace
) -> Result:
    """Leiden clusters (ARI, NMI) and silhouette score of all labelled cells' features."""
    import numpy as np

    from r2mae.data.source import with_labels
    from r2mae.evaluation.compared import TRAINED, compared_encoders
    from r2mae.evaluation.features import LabelledFeatures, extract_each_labelled
    from r2mae.modalities.cell.clustering import cluster_scores, save_umap

    splits = [
        with_labels(loaded.wing.open_split(recipe, split))
        for split in ("train", "test")
    ]
    compared = list(compared_encoders(loaded, arguments.baselines))
    encoders = [(encoder.model, encoder.kind) for encoder in compared]
    by_split = [
        extract_each_labelled(encoders, split, progress=progress_bar("features"))
        for split in splits
    ]
    scores: dict[str, Any] = {}
    for (name, _, kind), *parts in zip(compared, *by_split, strict=True):
        features = np.concatenate([part.features for part in parts])
        if kind == "baseline":
            features = principal_components(features, features)[0]
        data = LabelledFeatures(
            features, np.concatenate([part.labels for part in parts])
        )
        scores[name] = cluster_scores(data)
        if arguments.umap is not None and name == TRAINED:
            save_umap(data, splits[0].class_names, arguments.umap)
    return {"cells": "train and test", "scores": scores}


def show_clustering(result: Result) -> None:
    """Print a line for each encoder."""
    print(
        "Leiden clusters against labels, all labelled cells (15 neighbours, resolution of the highest NMI)"
    )
    for name, score in result["scores"].items():
        numbers = "  ".join(
            f"{key} {score[key]:.3f}" for key in ("ari", "nmi", "silhouette")
        )
        print(
            f"  {name:<12}{numbers}  {score['clusters']:.0f} clusters "
            f"at resolution {score['resolution']:.1f} (ARI at 1.0: {score['ari_at_resolution_1']:.3f})"
        )


def principal_components(
    train: "Features", test: "Features"
) -> tuple["Features", "Features"]:
    """Project both sets (N, F) on the first 50 principal components of `train`."""
    from sklearn.decomposition import PCA

    pca = PCA(
        min(_COMPONENTS, *train.shape), svd_solver="randomized", random_state=0
    ).fit(train)
    return pca.transform(train).astype("float32"), pca.transform(test).astype("float32")
