"""Configurations of both encoders of single cells as models of transformers. Needs transformers alone."""

from typing import Any

from transformers import PreTrainedConfig


class CellConfig(PreTrainedConfig):
    """What the encoders have in common.

    genes: names, in the order of the model's input.
    values: "counts", which are normalised to log1p of counts per target_sum of a cell, or
        "scaled", taken as they are.
    matrix, genes_by, duplicates, round_counts: how an AnnData is read, see `read_cells`.
    head_hidden: width of the hidden layer in a classifier's head; None: no such layer.
    """

    def __init__(
        self,
        genes: tuple[str, ...] = (),
        values: str = "counts",
        matrix: str = "X",
        genes_by: str = "index",
        duplicates: str = "refuse",
        round_counts: bool = False,
        target_sum: float = 10_000.0,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
        head_hidden: int | None = None,
        head_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        self.genes, self.values = list(genes), values
        self.matrix, self.genes_by = matrix, genes_by
        self.duplicates, self.round_counts = duplicates, round_counts
        self.target_sum = target_sum
        self.width, self.depth, self.dropout = width, depth, dropout
        self.head_hidden, self.head_dropout = head_hidden, head_dropout
        super().__init__(**options)


class CellMLPConfig(CellConfig):
    """hidden: H. components: K of the completion of genes that were not measured; 0: none.

    pooling: "concat" returns the K principal components beside the D features.
    """

    model_type = "r2mae_cell_mlp"

    def __init__(
        self,
        hidden: int = 512,
        components: int = 0,
        pooling: str = "mean",
        **options: Any,
    ) -> None:
        possible = ("mean", "concat") if components else ("mean",)
        if pooling not in possible:
            rule = f"pooling must be one of {possible} with {components} components"
            raise ValueError(f"{rule}, got {pooling!r}.")
        self.hidden, self.components, self.pooling = hidden, components, pooling
        super().__init__(**options)


class CellTransformerConfig(CellConfig):
    """pooling: "cls", the cell's token, or "mean" over it and the genes' tokens."""

    model_type = "r2mae_cell_transformer"

    def __init__(self, heads: int = 4, pooling: str = "cls", **options: Any) -> None:
        self.heads, self.pooling = heads, pooling
        super().__init__(**options)


CellMLPConfig.register_for_auto_class()
CellTransformerConfig.register_for_auto_class()
