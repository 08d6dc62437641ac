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

    @model_validator(mode="after")
    def _check_groups(self) -> "PretrainRecipe[DataT, ModelT]":
        """Raise ValueError unless each micro-batch holds whole groups of a stratified law."""
        groups_of = self.mask.levels
        if self.mask.scope != "stratified" or not self.per_device_samples % groups_of:
            return self
        raise ValueError(
            f"batch.per_device_samples must be a multiple of mask.levels = {groups_of} "
            f"with mask.scope stratified, got {self.per_device_samples}. "
            f"{_levels_that_fit(self.per_device_samples)}"
        )


def _levels_that_fit(samples: int) -> str:
    counts = [count for count in range(2, 65) if samples % count == 0]
    if not counts:
        return "Take larger micro-batches."
    return f"mask.levels may be {', '.join(map(str, counts))}."
