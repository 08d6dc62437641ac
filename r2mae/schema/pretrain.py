"""The pretraining recipe: what is hidden, and what is measured meanwhile."""

from typing import Literal

from pydantic import Field, model_validator

from r2mae.schema.mask import MaskSection
from r2mae.schema.recipe import DataT, ModelT, Recipe, WatchSection


class PretrainWatchSection(WatchSection):
    """What is measured while training, under frozen masks of every ratio, and on features."""

    ratios: tuple[float, ...] = Field(
        default=(0.25, 0.5, 0.75), min_length=1, max_length=16
    )
    validation: bool = True
    knn: bool = True
    linear_probe: bool = True
    effective_rank: bool = True
    pictures: bool = True

    @model_validator(mode="after")
    def _check(self) -> "PretrainWatchSection":
        if not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(
                f"ratios must be in (0, 1), got {list(self.ratios)}. Ratios are fractions."
            )
        return self


class PretrainRecipe(Recipe[DataT, ModelT]):
    """One file = one run."""

    task: Literal["pretrain"]
    mask: MaskSection
    watch: PretrainWatchSection = PretrainWatchSection()
