"""The pretraining recipe: what is hidden, and what is measured meanwhile."""

from typing import Literal

from pydantic import Field, model_validator

from r2mae.schema.cell import CellData, CellMask, CellModel, check_cell_recipe
from r2mae.schema.dna import DnaData, DnaMask, DnaModel, check_dna_recipe
from r2mae.schema.language import LanguageData, LanguageMask, LanguageModel
from r2mae.schema.mask import MaskSection
from r2mae.schema.training import DataT, ModelT, Recipe, WatchSection


class PretrainWatchSection(WatchSection):
    """What is measured while training, under frozen masks of every ratio, and on features."""

    ratios: tuple[float, ...] = Field(default=(0.25, 0.5, 0.75), min_length=1, max_length=16)
    validation: bool = True
    knn: bool = True
    linear_probe: bool = True
    effective_rank: bool = True
    pictures: bool = True

    @model_validator(mode="after")
    def _check(self) -> "PretrainWatchSection":
        if not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(f"ratios must be in (0, 1), got {list(self.ratios)}. Ratios are fractions.")
        return self


class PretrainRecipe(Recipe[DataT, ModelT]):
    """One file = one run."""

    task: Literal["pretrain"]
    mask: MaskSection
    watch: PretrainWatchSection = PretrainWatchSection()


class CellPretrainRecipe(PretrainRecipe[CellData, CellModel]):
    """Cells hide genes: patterns of their own, and a law by default."""

    mask: CellMask = CellMask()

    @model_validator(mode="after")
    def _check_cells(self) -> "CellPretrainRecipe":
        check_cell_recipe(self.data, self.model, self.mask)
        return self


class TextWatchSection(PretrainWatchSection):
    """Texts are measured at the ratios that are usual for them."""

    ratios: tuple[float, ...] = Field(default=(0.15, 0.3, 0.5), min_length=1, max_length=16)


class LanguagePretrainRecipe(PretrainRecipe[LanguageData, LanguageModel]):
    """Texts hide tokens: patterns of their own, and a law by default."""

    mask: LanguageMask = LanguageMask()
    watch: TextWatchSection = TextWatchSection()


class DnaWatchSection(PretrainWatchSection):
    """DNA is measured within its default law."""

    ratios: tuple[float, ...] = Field(default=(0.05, 0.15, 0.3), min_length=1, max_length=16)


class DnaPretrainRecipe(PretrainRecipe[DnaData, DnaModel]):
    """DNA hides bases: patterns of its own, and a law by default."""

    mask: DnaMask = DnaMask()
    watch: DnaWatchSection = DnaWatchSection()

    @model_validator(mode="after")
    def _check_dna(self) -> "DnaPretrainRecipe":
        check_dna_recipe(self.data, self.model)
        return self
