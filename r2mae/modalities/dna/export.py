"""`r2mae export` of DNA transformers, with their tokenizer."""

from pathlib import Path

from r2mae.errors import InputError
from r2mae.wing import LoadedRun


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write model and tokenizer in transformers' format; returns the largest logit difference.

    Raises: InputError for models that transformers cannot load: convolutions, runs on an
        alignment, and fine-tuned runs on both strands.
    """
    from r2mae.interop.export_transformer import export_transformer_run
    from r2mae.modalities.dna.recipe_data import codec_of

    codec = codec_of(loaded.recipe)
    if codec is None:
        raise InputError(
            "RUN must be a transformer to be exported, got convolutions, "
            "which transformers cannot load."
        )
    if loaded.recipe.task == "finetune" and loaded.recipe.data.both_strands:
        raise InputError(
            "RUN must read one strand to be exported, got data.both_strands: "
            "transformers would predict from one strand only. Fine-tune without it."
        )
    if getattr(loaded.recipe.data, "alignment", None) is not None:
        raise InputError(
            "RUN must be on a genome to be exported, got one on an alignment, "
            "which transformers cannot read."
        )
    return export_transformer_run(loaded, folder, codec.tokenizer)


def load_with(loaded: LoadedRun) -> str:
    """The Python code that loads the exported folder."""
    from r2mae.interop.export_transformer import auto_class

    return auto_class(loaded)
