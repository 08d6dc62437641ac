"""A wing of numeric tables: a sample is a row, a position is a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from r2mae.loaded_run import LoadedRun
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import DataSection, ModelSection
from r2mae.wing import Wing
from r2mae.wing_commands import Task

if TYPE_CHECKING:
    from argparse import Namespace

    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.wing_commands import Result


class TableData(DataSection):
    """A table of scikit-learn; every fifth row is in the test split."""

    table: Literal["breast_cancer", "wine"]


class TableModel(ModelSection):
    """An MLP. width: features of a row."""

    width: int = Field(default=32, ge=1)


def score_columns(loaded: LoadedRun, recipe: AnyRecipe, options: Namespace) -> Result:
    """Squared error of each column of the test split when it alone is hidden."""
    import torch

    from r2mae.data.source import load_plain
    from r2mae.masking.mask import build_mask

    source = loaded.wing.open_split(recipe, "test")
    batch = load_plain(source, torch.arange(len(source)), loaded.device)
    errors = []
    for column in range(batch["values"].shape[1]):
        is_masked = torch.zeros_like(batch["values"], dtype=torch.bool)
        is_masked[:, column] = True
        with torch.no_grad():
            loss = loaded.model(batch, build_mask(is_masked)).loss
        errors.append(float(loss.mean))
    return {"errors": errors}


def show_columns(result: Result) -> None:
    """One line for each column."""
    for column, error in enumerate(result["errors"]):
        print(f"column {column:2}  squared error {error:.3f}")


class TableWing(Wing):
    """Rows of standardised columns."""

    name = "table"
    pretrain_recipe = PretrainRecipe[TableData, TableModel]
    finetune_recipe = FinetuneRecipe[TableData, TableModel]
    baseline_name = "standardised columns"
    tasks: ClassVar = {
        "columns": Task("error of each column", score_columns, show_columns)
    }

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Rows of a split, standardised by mean and deviation of the training rows."""
        import numpy as np

        from r2mae.data.arrays import ArraySource

        table = _load(recipe)
        is_test = np.arange(len(table.data)) % 5 == 0
        train = table.data[~is_test]
        values = (table.data - train.mean(axis=0)) / train.std(axis=0)
        rows = is_test if split == "test" else ~is_test
        return ArraySource(
            {"values": values[rows].astype(np.float32)},
            labels=table.target[rows].astype(np.int64),
            class_names=table.target_names.tolist(),
        )

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """The model that pretraining trains."""
        from r2mae.training.start import init_from_run
        from r2mae_table.model import MaskedTable

        model = MaskedTable(_load(recipe).data.shape[1], recipe.model.width)
        return init_from_run(model, recipe.model.init_from)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The part of it that fine-tuning takes over."""
        from r2mae.training.start import init_from_run
        from r2mae_table.model import TableEncoder

        model = TableEncoder(_load(recipe).data.shape[1], recipe.model.width)
        return init_from_run(model, recipe.model.init_from)


def _load(recipe: AnyRecipe) -> Any:
    """scikit-learn's Bunch: data (N, F), target (N,), target_names."""
    from sklearn import datasets

    return getattr(datasets, f"load_{recipe.data.table}")()


WING = TableWing()
