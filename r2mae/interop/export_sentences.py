"""Export a text encoder as a folder that sentence-transformers loads."""

import copy
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.tokenizer import save_tokenizer, strip_before_mask
from r2mae.errors import InputError
from r2mae.interop.inference import encoder_of
from r2mae.interop.quiet import quiet_transformers

_WEIGHTS_FOLDER = ".encoder"  # only while the folder is being written
_TOLERANCE = 1e-5  # relative to the largest feature


def export_sentences(loaded: Any, folder: Path, tokenizer: Any, length: int) -> float:
    """Write encoder, tokenizer and pooling to an empty folder, and load it back.

    length: tokens of a text, special ones included; longer texts are cut.

    Returns: the largest difference of features of a few texts.

    Raises: InputError for other features than the run's.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    loaded.model.cpu()
    encoder = encoder_of(loaded.model)
    tokenizer = copy.deepcopy(strip_before_mask(tokenizer))
    tokenizer.model_max_length = length
    place = folder / _WEIGHTS_FOLDER
    with quiet_transformers():
        encoder.base.save_pretrained(place)
        save_tokenizer(tokenizer, place)
        transformer = Transformer(str(place), max_seq_length=length)
        pooling = Pooling(encoder.width, pooling_mode=encoder.pooling)
        modules = [transformer, pooling]
        written = SentenceTransformer(modules=modules, device="cpu")
        written.save(str(folder), create_model_card=False)
        shutil.rmtree(place)
        reloaded = SentenceTransformer(str(folder), device="cpu")
    texts = _texts_of(tokenizer)
    theirs = reloaded.encode(texts, show_progress_bar=False)
    with warnings.catch_warnings():  # of unknown tokens, in texts made up for this
        warnings.simplefilter("ignore", UserWarning)
        ours = loaded.embed(texts)
    difference = float(np.abs(theirs - ours).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(ours).max())):
        raise InputError(
            "the exported model must give the run's features, got a difference of "
            f"{difference:.1e}. Use --to transformers instead."
        )
    return difference


def _texts_of(tokenizer: Any) -> list[str]:
    """Texts of tokens spread over the vocabulary, of unequal lengths."""
    special = set(tokenizer.all_special_ids)
    ordinary = [number for number in range(len(tokenizer)) if number not in special]
    step = max(1, len(ordinary) // 24)
    chosen = ordinary[::step]
    return [str(tokenizer.decode(part)) for part in (chosen, chosen[:5], chosen[::-3])]
