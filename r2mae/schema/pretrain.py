"""The pretraining recipe: the mask, and measurements during training."""

from typing import Literal

from pydantic import Field, model_validator

from r2mae.schema.mask import MaskSection
from r2mae.schema.recipe import DataT, ModelT, Recipe, WatchSection


class PretrainWatchSection(WatchSection):
    """`watch`: measurements on held-out samples during pretraining.

    ratios: mask ratios of the validation loss, whose masks never change, so that values
        of different steps and runs compare.
    validation: measure the loss at each of these ratios.
    knn: measure k-nearest-neighbour accuracy of the features.
    linear_probe: measure linear-probe accuracy of the features.
    effective_rank: measure the effective rank of the features, to detect collapse.
    pictures: draw reconstructions.
    """

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
                f"ratios must be in (0, 1), got {list(self.ratios)}. "
                "Ratios are fractions."
            )
        return self


class PretrainRecipe(Recipe[DataT, ModelT]):
    """A pretraining recipe: one run.

    mask, watch: see their sections. Other keys as in `Recipe`.
    """

    task: Literal["pretrain"]
    mask: MaskSection
    watch: PretrainWatchSection = PretrainWatchSection()
