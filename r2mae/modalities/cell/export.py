"""`r2mae export` of cell encoders to transformers."""

from pathlib import Path
from typing import Any

from r2mae.loaded_run import LoadedRun

_LOAD = """from transformers import AutoModel

model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
features = model(**model.encode(adata)).pooler_output  # an AnnData, genes matched by name"""

_LOAD_CLASSIFIER = """from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained("FOLDER", trust_remote_code=True)
logits = model(**model.encode(adata)).logits  # an AnnData, genes matched by name"""


def load_with(loaded: LoadedRun) -> str:
    """The Python code that loads the exported folder."""
    return _LOAD if loaded.num_classes is None else _LOAD_CLASSIFIER


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write the model with its modeling files and genes; the largest difference of outputs.

    Those are features of a pretraining run, and logits of a fine-tuned one.

    Raises: InputError for ordered classes, or other outputs than the run's.
    """
    from r2mae.interop.export_custom import write_classifier, write_encoder
    from r2mae.modalities.cell.inference import cell_inference

    loaded.model.cpu()
    theirs, inference = _build_theirs(loaded), cell_inference(loaded)
    assert inference.save_beside is not None
    inference.save_beside(folder)
    batch = inference.batch
    inputs = (_dense(batch, len(theirs.config.genes)), batch["measured"])
    if loaded.num_classes is not None:
        return write_classifier(loaded, theirs, folder, batch, inputs)
    return write_encoder(loaded.model, theirs, folder, batch, inputs)


def _build_theirs(loaded: LoadedRun) -> Any:
    """The run's model as one of transformers, with random weights."""
    from r2mae.interop.export_custom import head_options
    from r2mae.modalities.cell import modeling_cell as encoders
    from r2mae.modalities.cell import modeling_cell_classifier as classifiers
    from r2mae.modalities.cell.normalization import PER

    section: Any = loaded.recipe.model
    data: Any = loaded.recipe.data
    options = {
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
    encoder: Any
    classifier: Any
    if section.encoder == "mlp":
        options |= {"hidden": section.hidden, "components": section.components}
        encoder = encoders.CellMLPModel
        classifier = classifiers.CellMLPForSequenceClassification
    else:
        options |= {"heads": section.heads}
        encoder = encoders.CellTransformerModel
        classifier = classifiers.CellTransformerForSequenceClassification
    if loaded.num_classes is None:
        return encoder(encoder.config_class(**options))
    config = classifier.config_class(**options, **head_options(loaded))
    return classifier(config)


def _dense(batch: dict[str, Any], num_genes: int) -> Any:
    """(B, G) values of a batch, which may hold lists of genes."""
    values = batch["values"]
    if "columns" not in batch:
        return values
    dense = values.new_zeros(len(values), num_genes)
    # Padding has the value 0.
    return dense.scatter_add(1, batch["columns"], values)
