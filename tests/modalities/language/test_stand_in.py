"""Random texts that stand in for missing ones."""

import numpy as np
import pytest
import torch

from r2mae.data.tokenizer import is_continuation, load_tokenizer
from r2mae.data.tokenizer_training import train_tokenizer
from r2mae.modalities.language.tokenizer import recipe_tokenizer
from tests.conftest import make_texts, open_stand_in


def test_rows_are_full_and_of_several_documents(scratch):
    recipe, train, held_out = open_stand_in("fineweb_base", scratch)
    tokenizer = recipe_tokenizer(recipe)
    assert len(tokenizer) == 50_368
    assert not is_continuation(tokenizer).any()
    assert len(train) >= 2 * 64
    assert len(held_out) >= 2
    batch = train.load(torch.arange(64), torch.arange(64), 0)
    assert batch["input_ids"].shape == (64, 1024)
    assert (batch["input_ids"] != tokenizer.pad_token_id).all()
    assert (batch["input_ids"] != tokenizer.unk_token_id).all()
    assert len(batch["segment_starts"]) > 64


def test_sentences_are_labelled_to_fine_tune(scratch):
    pairs = "data.columns=[question, answer]"
    _, train, _ = open_stand_in("cola_finetune", scratch, pairs)
    batch = train.load(torch.arange(32), None, 0)
    assert batch["input_ids"].shape == (32, 64)
    assert len(np.unique(train.labels)) == 2


def test_keeps_a_tokenizer_that_is_here(scratch):
    place = scratch / "own"
    train_tokenizer(make_texts(20), "bpe", 300).save_pretrained(place)
    recipe, _, _ = open_stand_in("wikitext_small", scratch, f"data.tokenizer={place}")
    assert recipe_tokenizer(recipe) is load_tokenizer(str(place))


def test_columns_of_tables_are_not_those_of_the_stand_in(scratch):
    _, train, _ = open_stand_in("sst2_phrases", scratch)
    assert len(train) > 1


@pytest.mark.parametrize("name", ["ner_finetune", "squad_finetune"])
def test_files_with_fixed_columns_need_none(scratch, name):
    columns = "[tokens]" if name == "ner_finetune" else "[asked, passage]"
    own = (f"data.columns={columns}", "data.label_column=labels")
    _, train, _ = open_stand_in(name, scratch, *own)
    assert len(train) > 1
