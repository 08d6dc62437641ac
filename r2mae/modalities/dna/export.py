"""`r2mae export` of DNA models to transformers."""

from pathlib import Path

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write model and tokenizer in transformers' format; returns the largest logit difference.

    Convolutions come with a modeling file, for Auto classes with trust_remote_code, and
    the difference of a pretraining run is one of features.

    Raises: InputError for models that transformers cannot load: runs on an alignment,
        ordered classes, and fine-tuned transformers on both strands.
    """
    from r2mae.interop.export_transformer import export_transformer_run
    from r2mae.modalities.dna.recipe_data import codec_of

    if getattr(loaded.recipe.data, "alignment", None) is not None:
        raise InputError(
            "RUN must be on a genome to be exported, got one on an alignment, "
            "which transformers cannot read. Use --to onnx."
        )
    codec = codec_of(loaded.recipe)
    if codec is None:
        return _export_convolutions(loaded, folder)
    if loaded.recipe.task == "finetune" and loaded.recipe.data.both_strands:
        raise InputError(
            "RUN must read one strand to be exported, got data.both_strands: "
            "transformers would predict from one strand only. Fine-tune without it."
        )
    return export_transformer_run(loaded, folder, codec.tokenizer)


_LOAD_CONVOLUTIONS = """from transformers import AutoModel

model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
features = model(model.encode(["ACGT", "GGATTACA"])).pooler_output"""
_LOAD_CLASSIFIER = """from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained("FOLDER", trust_remote_code=True)
logits = model(model.encode(["ACGT", "GGATTACA"])).logits"""


def load_with(loaded: LoadedRun) -> str:
    """The Python code that loads the exported folder."""
    from r2mae.interop.export_transformer import auto_class
    from r2mae.modalities.dna.recipe_data import codec_of

    if codec_of(loaded.recipe) is not None:
        return auto_class(loaded)
    return _LOAD_CONVOLUTIONS if loaded.num_classes is None else _LOAD_CLASSIFIER


def _export_convolutions(loaded: LoadedRun, folder: Path) -> float:
    """Write the model with its modeling file; the largest difference of its outputs."""
    from r2mae.interop.export_custom import (
        head_options,
        write_classifier,
        write_encoder,
    )
    from r2mae.modalities.dna import modeling_dna_conv as theirs
    from r2mae.modalities.dna.assembly import conv_shape
    from r2mae.modalities.dna.inference import dna_inference
    from r2mae.modalities.dna.models.strands import untie_strands

    model = loaded.model.cpu()
    untie_strands(model)
    shape, batch = conv_shape(loaded.recipe), dna_inference(loaded).batch
    del shape["dropout"], shape["rc_equivariant"]
    if loaded.num_classes is None:
        encoder = theirs.DnaConvModel(theirs.DnaConvConfig(**shape))
        return write_encoder(model, encoder, folder, batch, (batch["bases"],))
    shape |= head_options(loaded)
    if loaded.recipe.data.both_strands:
        shape["both_strands"] = True
        other = theirs.reverse_complement(batch["bases"])
        batch["other_strand"] = {"bases": other, "lengths": batch["lengths"]}
    config = theirs.DnaConvConfig(**shape)
    classifier = theirs.DnaConvForSequenceClassification(config)
    return write_classifier(loaded, classifier, folder, batch, (batch["bases"],))
