"""An .h5ad of random cells, for recipes whose data is missing."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from r2mae.data.stand_in import HELD_OUT, data_settings, make_labels, num_samples
from r2mae.modalities.cell.assembly import data_with_genes
from r2mae.modalities.cell.data.genes import read_gene_list
from r2mae.schema.recipe import AnyRecipe

_NUM_GENES = 2_000  # where the recipe does not say
_TEST_SHARE = 0.2
_MEAN_COUNT = 0.3  # a gene is expressed in a quarter of the cells


def stand_in(recipe: AnyRecipe, folder: Path) -> list[str]:
    """Write cells with the recipe's genes and labels; gives its settings."""
    names = data_with_genes(recipe).genes.names
    genes = (
        [f"gene_{number}" for number in range(_num_genes(recipe))]
        if names is None
        else read_gene_list(names)
    )
    count = round(num_samples(recipe) / (1 - _TEST_SHARE))
    draw = np.random.default_rng(0)
    if recipe.data.values == "scaled":
        matrix = draw.normal(size=(count, len(genes))).astype(np.float32)
    else:
        counts = draw.poisson(_MEAN_COUNT, (count, len(genes))).astype(np.float32)
        counts[:, 0] += 1  # no cell is empty
        matrix = sparse.csr_matrix(counts)
    labels = pd.Categorical(make_labels(recipe, count))
    obs = pd.DataFrame({"label": labels}, index=[f"cell_{n}" for n in range(count)])
    cells = anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=genes))
    cells.write_h5ad(folder / "cells.h5ad")
    settings = {
        "card": "cell_files",
        "root": str(folder / "cells.h5ad"),
        "matrix": "X",
        "genes.by": "index",
        "min_genes": 1,
        "min_counts": 1,
        "label_column": "label",
        "min_class_cells": 1,
        "test": {"share": _TEST_SHARE},
        "held_out": HELD_OUT,
    }
    if names is None:  # genes without a count are kept too
        settings["genes.min_cells"] = 0
    return data_settings(settings)


def _num_genes(recipe: AnyRecipe) -> int:
    return recipe.data.genes.top_variable or _NUM_GENES
