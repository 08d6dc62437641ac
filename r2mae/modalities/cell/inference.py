"""The features of cells as a function of plain tensors, for ONNX and torch.export.

Shapes: B cells, G genes of the run, L genes of the longest list.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r2mae.interop.inference import Inference, TensorInput, encoder_of
from r2mae.loaded_run import LoadedRun
from r2mae.masking.pattern import Role

GENES_FILE = "genes.txt"
_MEASURED = "False for genes that the cell's file lacks"


def cell_inference(loaded: LoadedRun) -> Inference:
    """Values of all genes, or lists of expressed genes -> features."""
    is_list = loaded.recipe.model.encoder == "transformer"
    return _list_inference(loaded) if is_list else _dense_inference(loaded)


def _dense_inference(loaded: LoadedRun) -> Inference:
    encoder: Any = encoder_of(loaded.model)
    num_genes = encoder.num_genes
    meaning = "counts" if encoder.counts else "scaled values, as the run's files hold"
    inputs = (
        TensorInput(
            "values", ("batch", num_genes), f"{meaning}, genes as in {GENES_FILE}"
        ),
        TensorInput("measured", ("batch", num_genes), _MEASURED),
    )
    measured = torch.ones(3, num_genes, dtype=torch.bool)
    measured[0, ::3] = False  # so that the path of missing genes is compared too
    values = _random_counts(3, num_genes) * measured
    return Inference(
        inputs,
        {"values": values, "measured": measured},
        _with_measured,
        encoder.embed,
        _save_genes(loaded),
    )


def _list_inference(loaded: LoadedRun) -> Inference:
    encoder: Any = encoder_of(loaded.model)
    num_genes = encoder.num_genes
    listed = ("batch", "listed_genes")
    inputs = (
        TensorInput("columns", listed, f"expressed genes, line in {GENES_FILE} from 0"),
        TensorInput("values", listed, "their counts"),
        TensorInput("is_expressed", listed, "False for padding at the end of a list"),
        TensorInput("measured", ("batch", num_genes), _MEASURED),
    )
    longest = max(2, num_genes // 2)
    columns = torch.arange(longest).repeat(3, 1)
    lengths = torch.tensor([[longest], [longest - 1], [longest]])
    is_expressed = torch.arange(longest) < lengths
    batch = {
        "columns": columns,
        "values": (_random_counts(3, longest) + 1) * is_expressed,
        "roles": torch.where(is_expressed, int(Role.HIDEABLE), int(Role.ABSENT)),
        "measured": torch.ones(3, num_genes, dtype=torch.bool),
    }

    def tensors(batch: dict[str, Any]) -> dict[str, Tensor]:
        is_expressed = batch["roles"] == Role.HIDEABLE
        measured = batch.get("measured")
        if measured is None:
            measured = torch.ones(len(is_expressed), num_genes, dtype=torch.bool)
        return batch | {"is_expressed": is_expressed, "measured": measured}

    return Inference(inputs, batch, tensors, encoder.embed_padded, _save_genes(loaded))


def _with_measured(batch: dict[str, Any]) -> dict[str, Tensor]:
    measured = batch.get("measured")
    if measured is None:
        measured = torch.ones_like(batch["values"], dtype=torch.bool)
    return {"values": batch["values"], "measured": measured}


def _random_counts(num_cells: int, num_genes: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full((num_cells, num_genes), 2.0), generator)


def _save_genes(loaded: LoadedRun) -> Any:
    names = loaded.manifest["genes"]

    def save(folder: Path) -> None:
        text = "".join(f"{name}\n" for name in names)
        (folder / GENES_FILE).write_text(text)

    return save
