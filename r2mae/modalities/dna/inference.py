"""The features of DNA as a function of plain tensors, for ONNX and torch.export.

Shapes: B sequences, N bases, S species, L tokens of a row.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from r2mae.interop.inference import Inference, TensorInput, encoder_of
from r2mae.interop.text_inference import text_inference
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.dna.models.columns import OTHER_LETTERS, PADDING
from r2mae.modalities.dna.recipe_data import codec_of

_BASES = "A C G T = 0 to 3, N = 4, padding at the end = 6"
_OTHERS = "aligned species beside the reference: A C G T = 0 to 3, unknown = 4, gap = 5"
_OTHER_STRAND = "other_strand_"  # precedes the names of the reverse complement's inputs


def dna_inference(loaded: LoadedRun) -> Inference:
    """Bases or tokens, of both strands where the run reads both -> features."""
    codec, encoder = codec_of(loaded.recipe), encoder_of(loaded.model)
    if codec is None:
        plain = _conv_inference(encoder)
    else:
        plain = text_inference(loaded, codec.tokenizer, codec.first, codec.last)
    if encoder.columns is not None:
        plain = _with_species(plain, encoder)
    is_tuned = loaded.recipe.task == "finetune"
    both = is_tuned and loaded.recipe.data.both_strands
    return _on_both_strands(plain) if both else plain


def _conv_inference(encoder: Any) -> Inference:
    generator = torch.Generator().manual_seed(0)
    bases = torch.randint(0, 5, (3, 40), generator=generator)
    bases[1, 30:] = PADDING
    batch = {"bases": bases, "lengths": torch.tensor([40, 30, 40])}

    def embed(tensors: Any) -> Tensor:
        # "lengths" makes the encoder look for padding; their values are not read.
        features: Tensor = encoder.embed({**tensors, "lengths": tensors["bases"]})
        return features

    inputs = (TensorInput("bases", ("batch", "bases"), _BASES),)
    return Inference(inputs, batch, lambda batch: batch, embed)


def _with_species(plain: Inference, encoder: Any) -> Inference:
    """The inference with aligned species (B, N, S - 1) as a further input."""
    name = plain.inputs[0].name
    border = 0 if name == "bases" else 2  # [CLS] and [SEP] have no column
    axis = f"columns + {border}" if border else "columns"
    num_samples, length = plain.batch[name].shape
    num_others = encoder.columns.project.in_features // OTHER_LETTERS
    shape = (num_samples, length - border, num_others)
    generator = torch.Generator().manual_seed(1)
    others = torch.randint(0, 6, shape, generator=generator).to(torch.uint8)
    others_input = TensorInput("others", ("batch", "columns", num_others), _OTHERS)
    return replace(
        plain,
        inputs=(
            *(replace(given, shape=("batch", axis)) for given in plain.inputs),
            others_input,
        ),
        batch=plain.batch | {"others": others},
        tensors=lambda batch: {**plain.tensors(batch), "others": batch["others"]},
    )


def _on_both_strands(plain: Inference) -> Inference:
    """The inference whose features are the mean over a sequence and its reverse complement."""
    names = [given.name for given in plain.inputs]
    others = tuple(
        TensorInput(
            f"{_OTHER_STRAND}{given.name}",
            given.shape,
            f"of the reverse complement: {given.meaning}",
        )
        for given in plain.inputs
    )

    def tensors(batch: dict[str, Any]) -> dict[str, Tensor]:
        other = plain.tensors(batch["other_strand"])
        renamed = {f"{_OTHER_STRAND}{name}": other[name] for name in names}
        return {**plain.tensors(batch), **renamed}

    def embed(tensors: Any) -> Tensor:
        own = {name: tensors[name] for name in names}
        other = {name: tensors[f"{_OTHER_STRAND}{name}"] for name in names}
        return (plain.embed(own) + plain.embed(other)) / 2

    return replace(
        plain,
        inputs=(*plain.inputs, *others),
        batch=plain.batch | {"other_strand": _other_rows(plain.batch)},
        tensors=tensors,
        embed=embed,
    )


def _other_rows(batch: dict[str, Any]) -> dict[str, Any]:
    """The rows in another order, as an example of other strands.

    Not the same tensors, which torch.export would take for one input.
    """
    order = [1, 2, 0]
    return {
        key: value if key == "segment_starts" else value[order]
        for key, value in batch.items()
    }
