"""`r2mae export` of cell encoders to transformers."""

from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.interop.exports import largest_difference
from r2mae.loaded_run import LoadedRun

LOAD = """from transformers import AutoModel

model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
features = model(**model.encode(adata)).pooler_output  # an AnnData, genes matched by name"""


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write the encoder with its modeling files and genes; the largest difference of features.

    Raises: InputError for fine-tuned runs, or other features than the run's.
    """
    import torch

    from r2mae.interop.quiet import quiet_transformers
    from r2mae.modalities.cell.inference import cell_inference

    if loaded.num_classes is not None:
        raise InputError(
            "RUN must be a pretraining run to export cell encoders to transformers, "
            "got a fine-tuned one. Use --to onnx."
        )
    model = loaded.model.cpu()
    theirs = _build_theirs(loaded)
    missing, _ = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not missing  # the masked model has a decoder beside
    inference = cell_inference(loaded)
    assert inference.save_beside is not None
    with quiet_transformers():
        theirs.save_pretrained(folder)
        reloaded = type(theirs).from_pretrained(folder).eval()
    inference.save_beside(folder)
    batch = inference.batch
    with torch.no_grad():
        expected = model.embed(batch)  # type: ignore[operator]
        values = _dense(batch, len(theirs.config.genes))
        features = reloaded(values, batch["measured"]).pooler_output
    return largest_difference(features, expected)


def _build_theirs(loaded: LoadedRun) -> Any:
    """The run's encoder as a model of transformers, with random weights."""
    from r2mae.modalities.cell import modeling_cell as theirs
    from r2mae.modalities.cell.normalization import PER

    section: Any = loaded.recipe.model
    data: Any = loaded.recipe.data
    shared = {
        "genes": loaded.manifest["genes"],
        "values": data.values,
        "matrix": data.matrix,
        "genes_by": data.genes.by,
        "duplicates": data.genes.duplicates,
        "round_counts": data.round_counts,
        "target_sum": PER,
        "width": section.width,
        "depth": section.depth,
        "dropout": section.dropout,
    }
    if section.encoder == "mlp":
        own = {"hidden": section.hidden, "components": section.components}
        return theirs.CellMLPModel(theirs.CellMLPConfig(**shared, **own))
    config = theirs.CellTransformerConfig(**shared, heads=section.heads)
    return theirs.CellTransformerModel(config)


def _dense(batch: dict[str, Any], num_genes: int) -> Any:
    """(B, G) values of a batch, which may hold lists of genes."""
    values = batch["values"]
    if "columns" not in batch:
        return values
    dense = values.new_zeros(len(values), num_genes)
    # Padding has the value 0.
    return dense.scatter_add(1, batch["columns"], values)
