"""`r2mae evaluate --task imputation | clustering`: what is asked of cells beside probes."""

import argparse
import json
from pathlib import Path
from typing import Any

from r2mae.cli.reconstruct import parse_ratios
from r2mae.cli.show import show, show_text
from r2mae.errors import InputError


def imputation(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:
    """Hidden counts of test cells: the run against gene mean, PCA and kNN smoothing."""
    ratios = parse_ratios(arguments.ratios)
    if getattr(recipe.data, "values", None) != "counts" or recipe.task != "pretrain":
        raise InputError(f"{arguments.run} must be a pretraining run on counts of cells for imputation, got another.")
    from r2mae.evaluation.imputation import compare, score_imputation
    from r2mae.recipe.modality import open_split, open_training_data

    train, held_out = open_training_data(recipe)
    with show_text("imputation") as say:
        found = score_imputation(loaded.model, train, held_out, open_split(recipe, "test"), ratios, say)
    rows: list[dict[str, Any]] = [
        {
            "ratio": ratio,
            "scores": {name: score.to_dict() for name, score in scores.items()},
            "differences": {name: compare(scores["run"], score) for name, score in scores.items() if name != "run"},
        }
        for ratio, scores in found.items()
    ]
    if arguments.json:
        print(json.dumps({"run": arguments.run, "task": "imputation", "split": "test", "rows": rows}))
        return
    print("hidden counts of test cells: Pearson by gene, log-likelihood of an entry (run - other ± 95 %)")
    print(f"{'ratio':<7}{'':<12}{'pearson':<28}{'negative binomial':<30}poisson")
    for row in rows:
        for name, score in row["scores"].items():
            more = {key: f"  ({a:+.4f} ± {b:.4f})" for key, (a, b) in row["differences"].get(name, {}).items()}
            pearson = f"{score['pearson']:.4f}{more.get('pearson', '')}"
            likely = f"{score['negative_binomial']:.4f}{more.get('negative_binomial', '')}"
            print(f"{row['ratio']:<7g}{name:<12}{pearson:<28}{likely:<30}{score['poisson']:.4f}")


def clustering(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:
    """Leiden clusters and silhouettes of all labelled cells' features."""
    import numpy as np

    from r2mae.cli.evaluate import encoders
    from r2mae.datasets.source import with_labels
    from r2mae.evaluation.clustering import cluster_scores, save_umap
    from r2mae.evaluation.features import LabelledFeatures, extract_labelled
    from r2mae.recipe.modality import open_split

    if arguments.umap is not None and Path(arguments.umap).suffix != ".png":
        raise InputError(f"--umap must end in .png, got {arguments.umap!r}.")
    splits = [with_labels(open_split(recipe, split)) for split in ("train", "test")]
    scores = {}
    for name, model, kind in encoders(loaded, arguments.baselines):
        parts = [extract_labelled(model, split, kind=kind, progress=show(name)) for split in splits]
        features = np.concatenate([part.features for part in parts])
        if kind == "baseline":
            features = principal_components(features, features)[0]
        data = LabelledFeatures(features, np.concatenate([part.labels for part in parts]))
        scores[name] = cluster_scores(data)
        if arguments.umap is not None and name == "pretrained":
            save_umap(data, splits[0].class_names, Path(arguments.umap))
    if arguments.json:
        print(json.dumps({"run": arguments.run, "task": "clustering", "cells": "train and test", "scores": scores}))
        return
    print("Leiden clusters against labels, all labelled cells (15 neighbours, resolution 1)")
    for name, score in scores.items():
        numbers = "  ".join(f"{key} {score[key]:.3f}" for key in ("ari", "nmi", "silhouette"))
        print(f"  {name:<12}{numbers}  {score['clusters']:.0f} clusters")


def principal_components(train: Any, test: Any, most: int = 50) -> tuple[Any, Any]:
    """Both sets (., F) in the first `most` components of the first, as scanpy's habit is."""
    from sklearn.decomposition import PCA

    pca = PCA(min(most, *train.shape), svd_solver="randomized", random_state=0).fit(train)
    return pca.transform(train).astype("float32"), pca.transform(test).astype("float32")
