"""The features of texts, or sequences of tokens, as a function of plain tensors.

Shapes: B texts, N tokens of the longest, special ones included.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r2mae.data.tokenizer import save_tokenizer
from r2mae.interop.inference import Inference, TensorInput, encoder_of

_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"


def text_inference(
    loaded: Any, tokenizer: Any, first: int, last: int | None
) -> Inference:
    """Token ids and attention mask, as the saved tokenizer makes them -> features.

    first, last: ids of the tokens at both ends of a text; last is None where none ends it.
    """
    encoder: Any = encoder_of(loaded.model)
    has_types = getattr(encoder.base.config, "type_vocab_size", 1) > 1
    inputs = [
        TensorInput(_IDS, ("batch", "tokens"), "token ids, padded at the end"),
        TensorInput(_MASK, ("batch", "tokens"), "1 for tokens, 0 for padding"),
    ]
    if has_types:
        meaning = "1 for tokens of a pair's second text, else 0"
        inputs.append(TensorInput(_TYPES, ("batch", "tokens"), meaning))

    def embed(tensors: Any) -> Tensor:
        batch = dict(tensors)
        if has_types:
            batch["types"] = batch.pop(_TYPES)
        features: Tensor = encoder.embed_padded(batch)
        return features

    def save(folder: Path) -> None:
        save_tokenizer(tokenizer, folder)

    batch = random_rows(encoder.vocabulary, first, last)
    return Inference(tuple(inputs), batch, text_tensors, embed, save)


def text_tensors(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Inputs of a batch with one segment a row. "types" are 0 where it has none."""
    ids = batch[_IDS]
    lengths = torch.from_numpy(batch["segment_lengths"])[:, None]
    is_token = torch.arange(ids.shape[1]) < lengths
    types = batch.get("types", torch.zeros_like(ids))
    return {_IDS: ids, _MASK: is_token.long(), _TYPES: types}


def random_rows(vocabulary: Any, first: int, last: int | None) -> dict[str, Any]:
    """A batch of three texts of 14, 9 and 14 random tokens between their borders."""
    ordinary = np.setdiff1d(np.arange(vocabulary.size), np.asarray(vocabulary.special))
    ids = np.random.default_rng(0).choice(ordinary, (3, 16))
    lengths = np.array([16, 11, 16])
    ids[:, 0] = first
    if last is not None:
        ids[np.arange(3), lengths - 1] = last
    ids[np.arange(16) >= lengths[:, None]] = vocabulary.pad
    return {
        _IDS: torch.from_numpy(ids),
        "segment_starts": np.arange(3) * 16,
        "segment_lengths": lengths,
    }
