"""Single cells' recipe sections."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.law import UniformRatio
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.mask import MaskSection, Ratio
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import DataSection, ModelSection
from r2mae.schema.section import Section

HUGE_COUNT = 1 << 31


class GenesSection(Section):
    """The ordered vocabulary: genes seen in at least min_cells cells, of these the top_variable, or a given list.

    min_cells: cells that must have a count of a gene.
    top_variable: number of genes that vary most, of these; null for all.
    by: what names a gene: "index" (var_names), or a column of var, such as gene_ids or feature_name. A store has
        chosen already.
    duplicates: "refuse" a file in which two genes have one name, or "sum" their counts.
    names: genes in the model's order, or a file with one a line; a run's own, when one starts from it.
    """

    by: str = "index"
    duplicates: Literal["refuse", "sum"] = "refuse"
    min_cells: int = Field(default=1, ge=0, le=HUGE_COUNT)
    top_variable: int | None = Field(default=None, ge=2, le=1 << 20)
    names: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> "GenesSection":
        has_filters = self.top_variable is not None or self.min_cells > 1
        if self.names is not None and has_filters:
            raise ValueError(
                "must choose genes by names or by min_cells and top_variable, got both."
            )
        if isinstance(self.names, tuple):
            count = len(self.names)
            if count < 2 or len(set(self.names)) < count:
                raise ValueError(
                    f"names must be at least 2, all different, got {count}."
                )
        return self


class TestSection(Section):
    """Which cells are the test split: a share of all, or those whose column (a donor, a file) has one of values.

    share: of all cells, drawn once for all seeds.
    column: of obs, or "file".
    values: of the column, whose cells are the test split.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    column: str | None = None
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "TestSection":
        has_share = self.share is not None
        has_column = self.column is not None
        if has_share == has_column or has_column != bool(self.values):
            raise ValueError(
                "must be {share: 0.2}, or {column: donor, values: [one, two]}."
            )
        return self


class CellData(DataSection):
    """Cells of a card, or at root: a store, an .h5ad, .h5mu, .zarr or .loom, a 10x .h5, a folder with an .mtx, or a
    glob of these.

    card: name of a data card, or path of one; cell_files is for cells of your own.
    root: place of the data, instead of the card's.
    matrix: "X", "raw" or "layers[NAME]"; of an .h5mu also "MODALITY:X"; of an .h5 of Cell Ranger 2, the genome.
    values: "counts" must be raw; "scaled" is whatever it is.
    round_counts: round counts that are not integers, such as those that SoupX corrected for ambient RNA.
    genes: the ordered vocabulary.
    min_genes: genes of its file that a cell must express.
    min_counts: counts that a cell must have in its file.
    label_column: of obs, instead of the card's; cells whose label is missing or one of unlabelled have none.
    unlabelled: labels in lower case that count as none.
    min_class_cells: smaller classes count as unlabelled.
    """

    card: str = "cell_files"
    root: str | None = None
    matrix: str = "X"
    values: Literal["counts", "scaled"] = "counts"
    round_counts: bool = False
    genes: GenesSection = GenesSection()
    min_genes: int = Field(default=1, ge=1, le=HUGE_COUNT)
    min_counts: int = Field(default=1, ge=1, le=HUGE_COUNT)
    label_column: str | None = None
    unlabelled: tuple[str, ...] = ("unlabelled", "unlabeled", "unknown", "nan", "")
    min_class_cells: int = Field(default=1, ge=1, le=HUGE_COUNT)
    test: TestSection = TestSection(share=0.2)


class CellMask(MaskSection):
    """Which genes of a cell are hidden.

    pattern: "random" draws anew for every cell; "column" hides by one order of genes for all cells of a step.
    expressed_share: null puts all genes in play. A share leaves in play the expressed genes and as many others, drawn
        anew for every cell, that this share of the hidden genes is expressed.
    """

    ratio: Ratio = Field(default_factory=lambda: UniformRatio(0.1, 0.9))  # type: ignore[assignment]
    pattern: Literal["random", "column"] = "random"  # type: ignore[assignment]
    expressed_share: float | None = Field(default=None, gt=0, lt=1)


class CellEncoder(ModelSection):
    """An encoder of cells.

    encoder: "mlp" over all genes, or "transformer" over the expressed genes alone.
    width: of the features. depth: number of hidden layers or transformer blocks. hidden: of the MLP's wide layers.
    heads: of a transformer. dropout: inside layers.
    components: of an MLP, principal components of the training cells. Hidden genes enter it as their conditional mean
        under probabilistic PCA with so many; with 0, as 0 beside the mask.
    """

    encoder: Literal["mlp", "transformer"]
    width: int = Field(default=128, ge=4, le=1 << 16)
    depth: int = Field(default=2, ge=0, le=128)
    heads: int = Field(default=4, ge=1, le=512)
    hidden: int = Field(default=512, ge=4, le=1 << 16)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    components: int = Field(default=50, ge=0, le=256)

    @model_validator(mode="after")
    def _check(self) -> "CellEncoder":
        if self.encoder == "transformer" and self.width % self.heads:
            raise ValueError(
                f"width must be divisible by heads = {self.heads}, got {self.width}."
            )
        return self


class CellModel(CellEncoder):
    """A masked model of cells.

    likelihood: of hidden values; "mse" is on log1p of counts a 10,000, or on scaled values as they are.
    decoder_depth: cross-attention blocks through which hidden genes ask; 0 leaves them the cell's features alone.
    """

    likelihood: Literal["negative_binomial", "poisson", "mse"] = "negative_binomial"
    decoder_depth: int = Field(default=1, ge=0, le=16)


class CellClassifier(CellEncoder):
    """A cell encoder under a classifier's head. `init_from: null` trains it from scratch."""


def check_cell_recipe(data: CellData, model: Any, mask: CellMask | None) -> None:
    """Raise ValueError for sections that do not go together."""
    if data.values == "scaled" and (
        data.round_counts or data.genes.duplicates == "sum"
    ):
        raise ValueError(
            "data.values must be counts to round them or to sum genes, got scaled."
        )
    likelihood = getattr(model, "likelihood", "mse")
    if data.values == "scaled" and likelihood != "mse":
        raise ValueError(
            f"model.likelihood must be mse for scaled values, got {likelihood}."
        )
    is_transformer = model.encoder == "transformer"
    if is_transformer and mask is not None and mask.expressed_share is None:
        raise ValueError(
            "mask.expressed_share must be given for a transformer, got nothing. Use 0.5."
        )
    if is_transformer and data.values == "scaled":
        raise ValueError(
            "model.encoder must be mlp for scaled values, which are never zero, got transformer."
        )


class CellPretrainRecipe(PretrainRecipe[CellData, CellModel]):
    """Cells hide genes: patterns of their own, and a law by default."""

    mask: CellMask = CellMask()

    @model_validator(mode="after")
    def _check_cells(self) -> "CellPretrainRecipe":
        check_cell_recipe(self.data, self.model, self.mask)
        return self


CellFinetuneRecipe = FinetuneRecipe[CellData, CellClassifier]
