"""`r2mae export` of DNA models to transformers."""

from pathlib import Path

from r2mae.errors import InputError
from r2mae.interop.exports import largest_difference
from r2mae.loaded_run import LoadedRun


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write model and tokenizer in transformers' format; returns the largest logit difference.

    Convolutions come with a modeling file, for `AutoModel` with trust_remote_code, and the
    difference is one of features.

    Raises: InputError for models that transformers cannot load: runs on an alignment,
        fine-tuned convolutions, and fine-tuned transformers on both strands.
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


def load_with(loaded: LoadedRun) -> str:
    """The Python code that loads the exported folder."""
    from r2mae.interop.export_transformer import auto_class
    from r2mae.modalities.dna.recipe_data import codec_of

    is_conv = codec_of(loaded.recipe) is None
    return _LOAD_CONVOLUTIONS if is_conv else auto_class(loaded)


def _export_convolutions(loaded: LoadedRun, folder: Path) -> float:
    """Write the encoder with its modeling file; the largest difference of features."""
    import torch

    from r2mae.interop.quiet import quiet_transformers
    from r2mae.modalities.dna.assembly import conv_shape
    from r2mae.modalities.dna.inference import dna_inference
    from r2mae.modalities.dna.modeling_dna_conv import DnaConvConfig, DnaConvModel
    from r2mae.modalities.dna.models.strands import untie_strands

    if loaded.num_classes is not None:
        raise InputError(
            "RUN must be a pretraining run to export convolutions to transformers, "
            "got a fine-tuned one. Use --to onnx."
        )
    model = loaded.model.cpu()
    untie_strands(model)
    shape = conv_shape(loaded.recipe)
    del shape["dropout"], shape["rc_equivariant"]
    theirs = DnaConvModel(DnaConvConfig(**shape))
    missing, _ = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not missing  # the masked model has a head beside
    with quiet_transformers():
        theirs.save_pretrained(folder)
        reloaded = DnaConvModel.from_pretrained(folder).eval()
    batch = dna_inference(loaded).batch
    with torch.no_grad():
        expected = model.embed(batch)  # type: ignore[operator]
        features = reloaded(batch["bases"]).pooler_output
    return largest_difference(features, expected)
