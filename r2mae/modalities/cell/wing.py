"""The cell wing: counts of genes in single cells."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.modalities.cell import builds, tasks
from r2mae.modalities.cell.schema import CellFinetuneRecipe, CellPretrainRecipe
from r2mae.options import share
from r2mae.wing import Build, Store, Task, Wing

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.wing import Features

_TASKS = {
    "imputation": Task(
        "predict hidden counts, against gene mean, PCA and kNN smoothing",
        tasks.score_imputation,
        tasks.show_imputation,
        tasks.add_imputation_arguments,
    ),
    "clustering": Task(
        "Leiden clusters and silhouettes against labels",
        tasks.score_clustering,
        tasks.show_clustering,
        tasks.add_clustering_arguments,
    ),
}
_BUILDS = {
    "cells": Build("files of cells -> a store", builds.add_arguments, builds.build)
}
_STORES = {"a store of cells": Store(builds.inspect_store, builds.show_store)}


def _write_h5ad(data: Path, output: Path, features: Any, names: list[str]) -> None:
    from r2mae.modalities.cell.anndata import write_features

    write_features(data, output, features, names)


_FEATURE_FORMATS = {".h5ad": _write_h5ad}


class CellWing(Wing):
    """Single cells: what is hidden are genes."""

    name = "cell"
    pretrain_recipe = CellPretrainRecipe
    finetune_recipe = CellFinetuneRecipe
    baseline_name = "PCA-50"
    tasks = _TASKS
    builds = _BUILDS
    stores = _STORES
    feature_formats = _FEATURE_FORMATS

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Cells of a split, as the recipe's model wants them."""
        from r2mae.modalities.cell import assembly

        return assembly.open_split(recipe, split)

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """All cells of a file, with the recipe's genes."""
        from r2mae.modalities.cell import assembly

        return assembly.open_paths(recipe, paths, arguments.min_overlap)

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """An AnnData whose genes are matched by name; a warning lists those that are missing."""
        from r2mae.modalities.cell import assembly

        return assembly.open_objects(recipe, objects)

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """`--min-overlap`."""
        text = "share of the run's genes that the file must have; default 0.5"
        parser.add_argument(
            "--min-overlap", type=share, default=0.5, metavar="S", help=text
        )

    def describe_match(self, source: SampleSource) -> dict[str, Any]:
        """How many of the run's genes a file has."""
        overlap: dict[str, int] = source.overlap()  # type: ignore[attr-defined]
        text = (
            f"of the run's {overlap['known']:,} genes {overlap['found']:,} found, "
            f"{overlap['missing']:,} missing (as if hidden); {overlap['ignored']:,} others ignored"
        )
        return {"genes": overlap, "text": text}

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """Without the test cells."""
        return round(listed * (1 - (recipe.data.test.share or 0)))

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """An MLP over all genes, or a transformer over those in play."""
        from r2mae.modalities.cell import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The same without what predicts."""
        from r2mae.modalities.cell import assembly

        return assembly.build_encoder(recipe)

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """The ordered genes."""
        from r2mae.modalities.cell import assembly

        return assembly.checkpoint_facts(recipe)

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe with the genes of a checkpoint."""
        from r2mae.modalities.cell import assembly

        return assembly.with_checkpoint_facts(recipe, manifest)

    def baseline_features(
        self, train: Features, test: Features
    ) -> tuple[Features, Features]:
        """Fifty principal components of log counts."""
        return tasks.principal_components(train, test)


WING = CellWing()
