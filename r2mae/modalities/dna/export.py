"""`r2mae export` of runs on DNA: transformers over bases, and their tokenizer."""

from pathlib import Path

from r2mae.errors import InputError
from r2mae.wing import LoadedRun


def export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    """Write a transformer and its tokenizer for transformers; gives the largest difference of logits.

    Raises: InputError for what transformers does not have: convolutions, and other species.
    """
    from r2mae.interop.export_transformer import export_transformer_run
    from r2mae.modalities.dna.assembly import codec_of

    codec = codec_of(loaded.recipe)
    if codec is None:
        raise InputError(
            "RUN must be a transformer to be exported, got convolutions, which other libraries lack."
        )
    if loaded.recipe.task == "finetune" and loaded.recipe.data.both_strands:
        raise InputError(
            "RUN must read one strand to be exported, got data.both_strands, whose answers other libraries would not "
            "give. Fine-tune without it."
        )
    if getattr(loaded.recipe.data, "alignment", None) is not None:
        raise InputError(
            "RUN must be of a genome to be exported, got an alignment, which other libraries lack."
        )
    return export_transformer_run(loaded, folder, codec.tokenizer)


def load_with(loaded: LoadedRun) -> str:
    """The line of Python that loads the folder."""
    from r2mae.interop.export_transformer import auto_class

    return auto_class(loaded)
