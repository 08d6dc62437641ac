"""The algebra wing: triples (g1, g2, g1 * g2) of finite groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2mae.modalities.algebra.schema import (
    AlgebraFinetuneRecipe,
    AlgebraPretrainRecipe,
)
from r2mae.wing import Wing

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe


class AlgebraWing(Wing):
    """Finite groups: masks hide slots of a triple."""

    name = "algebra"
    pretrain_recipe = AlgebraPretrainRecipe
    finetune_recipe = AlgebraFinetuneRecipe
    baseline_name = "one-hot g1 and g2"

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Triples of a split, labelled with their products."""
        from r2mae.modalities.algebra.triples import open_triples

        return open_triples(recipe.data, split)

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """The group and its irreps."""
        from r2mae.modalities.algebra.assembly import describe_data

        return describe_data(recipe)

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """No settings: the triples of the recipe's group are always here."""
        return []

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """A two-layer network or a transformer over three slots."""
        from r2mae.modalities.algebra import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The network without its outputs."""
        from r2mae.modalities.algebra import assembly

        return assembly.build_encoder(recipe)


WING = AlgebraWing()
