"""Build the models and open the data of a cell recipe.

The gene vocabulary is chosen from the data or, where `model.init_from` is a run, taken from it.
"""

from typing import Any

import torch
from torch import nn

from r2mae.data.source import SampleSource
from r2mae.errors import InputError
from r2mae.modalities.cell.gene_embeddings import is_scgpt, start_from_scgpt
from r2mae.modalities.cell.schema import CellData, GenesSection
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.checkpoint import read_manifest
from r2mae.training.run_folder import is_here
from r2mae.training.start import find_checkpoint, init_from_run

_TYPICAL_GENES = 2_000  # expressed genes of a cell, assumed where the data is absent


def _view(recipe: AnyRecipe) -> Any:
    """The input format that the recipe's model needs."""
    from r2mae.modalities.cell.data.cells import CellView

    mask = getattr(recipe, "mask", None)
    return CellView(
        recipe.model.encoder == "transformer", mask.expressed_share if mask else None
    )


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Cells of a split, in the input format of the recipe's model."""
    from r2mae.modalities.cell.data.splits import open_cells

    return open_cells(data_with_genes(recipe), split, _view(recipe))


def open_paths(
    recipe: AnyRecipe, paths: list[str], least_overlap: float = 0.0
) -> SampleSource:
    """All cells of the given files, with the recipe's genes.

    least_overlap: share of the recipe's genes that a file must have.
    """
    from r2mae.modalities.cell.data.splits import open_cell_paths

    return open_cell_paths(data_with_genes(recipe), paths, _view(recipe), least_overlap)


def describe_data(recipe: AnyRecipe) -> dict[str, str]:
    """{title: text} on the recipe's files, for `check`."""
    from r2mae.modalities.cell.data.splits import describe_cells

    return describe_cells(data_with_genes(recipe))


def open_objects(recipe: AnyRecipe, cells: Any) -> SampleSource:
    """All cells of an AnnData, with the recipe's genes."""
    from r2mae.modalities.cell.data.in_memory import open_anndata

    return open_anndata(data_with_genes(recipe), cells, _view(recipe))


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """The masked model of a pretraining recipe."""
    section = recipe.model
    genes, shares, typical = _gene_statistics(recipe)
    shape = _shape(section) | {"likelihood": section.likelihood}
    model: nn.Module
    if section.encoder == "mlp":
        from r2mae.modalities.cell.models.mlp import MaskedCellMLP

        completion = _completion(recipe, genes)
        model = MaskedCellMLP(genes, shares, completion=completion, **shape)
    else:  # imported only here, as timm takes seconds to import
        from r2mae.modalities.cell.models.transformer import MaskedCellTransformer

        model = MaskedCellTransformer(
            genes,
            shares,
            decoder_depth=section.decoder_depth,
            typical_length=typical,
            expressed_share=recipe.mask.expressed_share,  # type: ignore[attr-defined]
            **shape,
        )
    return _start(model, recipe)


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe."""
    section = recipe.model
    genes, shares, _ = _gene_statistics(recipe)
    model: nn.Module
    if section.encoder == "mlp":
        from r2mae.modalities.cell.models.mlp import CellMLP

        completion = _completion(recipe, genes)
        model = CellMLP(genes, shares, completion=completion, **_shape(section))
    else:
        from r2mae.modalities.cell.models.transformer import CellTransformer

        model = CellTransformer(genes, shares, **_shape(section))
    return _start(model, recipe)


def _start(model: nn.Module, recipe: AnyRecipe) -> nn.Module:
    """The model with the weights of a run, or the gene embeddings of scGPT, if one is named."""
    from r2mae.modalities.cell.data.splits import vocabulary

    source = recipe.model.init_from
    if source is None or not is_scgpt(source):
        return init_from_run(model, source)
    return start_from_scgpt(model, source, vocabulary(recipe.data))  # type: ignore[arg-type]


def _shape(section: Any) -> dict[str, Any]:
    """The arguments that a recipe's masked model and encoder have in common."""
    own = "hidden" if section.encoder == "mlp" else "heads"
    return {name: getattr(section, name) for name in ("width", "depth", "dropout", own)}


def checkpoint_facts(recipe: AnyRecipe) -> dict[str, Any]:
    """Gene vocabulary and number of components, for the checkpoint's manifest."""
    from r2mae.modalities.cell.data.splits import vocabulary

    section: Any = recipe.model
    names = vocabulary(data_with_genes(recipe))
    return {"genes": names, "components": section.components}


def with_checkpoint_facts(recipe: AnyRecipe, manifest: dict[str, Any]) -> AnyRecipe:
    """The recipe with a checkpoint's gene vocabulary and number of components."""
    # Runs from before the key had none.
    components = {"components": manifest.get("components", 0)}
    model = recipe.model.model_copy(update=components)
    data = _with_names(recipe.data, manifest["genes"])
    return recipe.model_copy(update={"data": data, "model": model})


def _with_names(data: CellData, names: list[str]) -> CellData:
    genes = data.genes.model_copy(
        update={"names": tuple(names), "min_cells": 1, "top_variable": None}
    )
    return data.model_copy(update={"genes": genes})


def data_with_genes(recipe: AnyRecipe) -> CellData:
    """The data section; where `init_from` is a run, its genes are those of that run.

    Raises: InputError when the recipe chooses genes beside `init_from`.
    """
    data: CellData = recipe.data
    # A missing init_from is refused later, when its weights are loaded.
    source = recipe.model.init_from
    if not is_here(source) or is_scgpt(source):
        return data
    unchosen = GenesSection(by=data.genes.by, duplicates=data.genes.duplicates)
    if data.genes != unchosen:
        raise InputError(
            "data.genes must be left out with model.init_from, whose genes are used, "
            "got a choice of genes. Remove it."
        )
    manifest = read_manifest(find_checkpoint(recipe.model.init_from))
    if "genes" not in manifest:
        raise InputError(
            f"model.init_from must be a run on cells, got {recipe.model.init_from!r}. "
            "Name another run."
        )
    return _with_names(data, manifest["genes"])


def _completion(recipe: AnyRecipe, num_genes: int) -> Any:
    """What fills hidden genes of an MLP, or None.

    Not fitted in an outline, without data, and where a run's weights follow.
    """
    from r2mae.evaluation.conditional_mean import ConditionalMean
    from r2mae.modalities.cell.data.training_cells import normalized_cells
    from r2mae.modalities.cell.models.completion import Completion

    section: Any = recipe.model
    if section.components == 0:
        return None
    data, fitted = data_with_genes(recipe), None
    is_outline = torch.get_default_device().type == "meta"
    if not is_outline and section.init_from is None and _has_cells(data):
        fitted = ConditionalMean(normalized_cells(data), section.components)
    return Completion(num_genes, section.components, fitted)


def _has_cells(data: CellData) -> bool:
    from r2mae.modalities.cell.data.splits import cell_paths

    try:
        return bool(cell_paths(data))
    except InputError:
        return False


def _gene_statistics(recipe: AnyRecipe) -> tuple[int, Any, int]:
    """(number of genes, (G,) shares of the mean cell's counts or None, typical expressed genes).

    Where the data is absent, shares are uniform, enough to build a model for a checkpoint.
    """
    import numpy as np

    from r2mae.modalities.cell.data.splits import cell_paths, vocabulary
    from r2mae.modalities.cell.data.training_cells import mean_cell

    data = data_with_genes(recipe)
    if not _has_cells(data):
        named = data.genes.names
        num_genes = len(named) if isinstance(named, tuple) else data.genes.top_variable
        if num_genes is None:
            cell_paths(data)  # raises: says what is missing
        assert num_genes is not None
        shares = np.full(num_genes, 1 / num_genes) if data.values == "counts" else None
        typical = _TYPICAL_GENES
    else:
        num_genes = len(vocabulary(data))
        with torch.device("cpu"):  # data is read even for a model's outline
            shares, typical = mean_cell(data)
    return num_genes, shares, min(num_genes, typical)
