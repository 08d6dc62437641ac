"""The cell wing: gene expression of single cells."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.interop.exports import Export
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.cell import builds, export, tasks
from r2mae.modalities.cell.schema import CellFinetuneRecipe, CellPretrainRecipe
from r2mae.options import share
from r2mae.wing import Wing
from r2mae.wing_commands import Build, Store, Task

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.interop.inference import Inference
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.wing import Features

_TASKS = {
    "imputation": Task(
        "impute masked counts, compared with gene mean, PCA and kNN smoothing",
        tasks.score_imputation,
        tasks.show_imputation,
        tasks.add_imputation_arguments,
        check=tasks.check_imputation,
    ),
    "clustering": Task(
        "Leiden clusters (ARI, NMI) and silhouette score of the features, by label",
        tasks.score_clustering,
        tasks.show_clustering,
        tasks.add_clustering_arguments,
        reads_features=True,
        check=tasks.check_clustering,
    ),
}
_EXPORTS = {
    "transformers": Export(
        export.export_to_transformers, export.load_with, "transformers"
    )
}
_BUILDS = {
    "cell": Build(
        "convert files of cells to a store", builds.add_arguments, builds.build
    )
}
_STORES = {"a store of cells": Store(builds.inspect_store, builds.show_store)}


def _write_h5ad(
    data: str, output: Path, features: Any, source: Any, rows: list[int]
) -> None:
    from r2mae.modalities.cell.anndata import write_features

    write_features(data, output, features, source, rows)


_FEATURE_FORMATS = {".h5ad": _write_h5ad}
_OBJECT_OPTIONS = builds.READING


class CellWing(Wing):
    """Single cells: masking hides the counts of genes."""

    name = "cell"
    pretrain_recipe = CellPretrainRecipe
    finetune_recipe = CellFinetuneRecipe
    baseline_name = "PCA-50"
    tasks = _TASKS
    exports = _EXPORTS
    builds = _BUILDS
    stores = _STORES
    feature_formats = _FEATURE_FORMATS
    object_options = _OBJECT_OPTIONS

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Cells of a split, in the input format of the recipe's model."""
        from r2mae.modalities.cell import assembly

        return assembly.open_split(recipe, split)

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """All cells of a file, with the recipe's genes."""
        from r2mae.modalities.cell import assembly

        data = builds.with_reading(recipe.data, vars(arguments))
        recipe = recipe.model_copy(update={"data": data})
        return assembly.open_paths(recipe, paths, arguments.min_overlap)

    def open_objects(
        self, recipe: AnyRecipe, objects: Any, **options: Any
    ) -> SampleSource:
        """An AnnData whose genes are matched by name; a warning lists those that are missing."""
        from r2mae.modalities.cell import assembly

        data = builds.with_reading(recipe.data, options)
        recipe = recipe.model_copy(update={"data": data})
        return assembly.open_objects(recipe, objects)

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """`--min-overlap`, and how genes are named and counts are read."""
        text = "share of the run's genes that the file must have; default 0.5"
        parser.add_argument(
            "--min-overlap", type=share, default=0.5, metavar="S", help=text
        )
        builds.add_reading_arguments(parser)

    def describe_match(self, source: SampleSource) -> dict[str, Any]:
        """The number of the run's genes that the file has."""
        if not hasattr(source, "overlap"):  # a split of the run's own data
            return {}
        from r2mae.modalities.cell.data.notes import reading_notes

        overlap: dict[str, int] = source.overlap()
        text = (
            f"{overlap['found']:,} of the run's {overlap['known']:,} genes in the file, "
            f"{overlap['missing']:,} missing (treated as masked); {overlap['ignored']:,} other genes ignored"
        )
        notes = reading_notes(source.store.meta)  # type: ignore[attr-defined]
        return {"genes": overlap, "notes": notes, "text": "; ".join([text, *notes])}

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """What reading the files left out or changed, and how many cells have labels."""
        from r2mae.modalities.cell import assembly

        return assembly.describe_data(recipe)

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """The number of cells without the test split."""
        return round(listed * (1 - (recipe.data.test.share or 0)))

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """An .h5ad of random counts with as many genes as the recipe's model."""
        from r2mae.modalities.cell.stand_in import stand_in

        return stand_in(recipe, folder)

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """A masked MLP over all genes, or a masked transformer over expressed genes."""
        from r2mae.modalities.cell import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The encoder alone, without the decoder."""
        from r2mae.modalities.cell import assembly

        return assembly.build_encoder(recipe)

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """The ordered gene vocabulary."""
        from r2mae.modalities.cell import assembly

        return assembly.checkpoint_facts(recipe)

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe with the gene vocabulary of a checkpoint."""
        from r2mae.modalities.cell import assembly

        return assembly.with_checkpoint_facts(recipe, manifest)

    def baseline_features(
        self, train: Features, test: Features
    ) -> tuple[Features, Features]:
        """The first 50 principal components of log-normalized counts, hidden ones imputed."""
        return tasks.principal_components(*super().baseline_features(train, test))

    def draw_samples(self, loaded: LoadedRun) -> str:
        """UMAP of held-out cells; their principal components where cells are few."""
        from r2mae.modalities.cell.draw import draw_samples

        return draw_samples(loaded)

    def auto_classes(self) -> list[Any]:
        """Exported encoders, and classifiers."""
        from r2mae.modalities.cell import modeling_cell as encoders
        from r2mae.modalities.cell import modeling_cell_classifier as classifiers

        return [
            encoders.CellMLPModel,
            encoders.CellTransformerModel,
            classifiers.CellMLPForSequenceClassification,
            classifiers.CellTransformerForSequenceClassification,
        ]

    def inference(self, loaded: LoadedRun) -> Inference:
        """Inputs and features of an exported model."""
        from r2mae.modalities.cell.inference import cell_inference

        return cell_inference(loaded)


WING = CellWing()
