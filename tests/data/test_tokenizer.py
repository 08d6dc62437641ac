"""Tokenizers of each kind: [MASK] takes the space before it, and files load in transformers 4 and 5."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from r2mae.data.tokenizer import load_tokenizer, save_tokenizer, strip_before_mask
from r2mae.data.tokenizer_training import SPECIAL, byte_tokenizer, train_tokenizer
from r2mae.errors import InputError
from tests.conftest import make_texts

KINDS = ("bpe", "wordpiece", "unigram")


def make_tokenizer(kind):
    """A tokenizer of `make_texts`; Unigram as those of XLM-R and ALBERT."""
    if kind != "unigram":
        return train_tokenizer(make_texts(50), kind, 400)
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=100,
        special_tokens=list(SPECIAL.values()),
        unk_token="[UNK]",
        show_progress=False,
    )
    unigram.train_from_iterator(make_texts(50), trainer)
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    return PreTrainedTokenizerFast(tokenizer_object=unigram, **names)


@pytest.mark.parametrize("kind", KINDS)
def test_mask_leaves_no_space_token(kind):
    tokenizer = strip_before_mask(make_tokenizer(kind))
    masked = tokenizer("The [MASK] number", add_special_tokens=False)["input_ids"]
    sides = [
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("The", " number")
    ]
    assert masked == [*sides[0], tokenizer.mask_token_id, *sides[1]]


def test_mask_of_a_unigram_tokenizer_needed_to_be_changed():
    plain = make_tokenizer("unigram")
    tokens = plain.tokenize("The [MASK] number")
    assert tokens[tokens.index("[MASK]") - 1] == "▁"
    assert strip_before_mask(plain) is not plain
    assert plain.tokenize("The [MASK] number") == tokens


def test_a_token_for_each_character_keeps_the_space_before_mask():
    """There, a space is a token of its own in plain text too."""
    tokenizer = byte_tokenizer()
    assert strip_before_mask(tokenizer) is tokenizer
    assert tokenizer.tokenize("a [MASK]") == ["a", "Ġ", "[MASK]"]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_tokenizers_name_a_class_of_transformers_4_and_5(tmp_path, kind):
    tokenizer = strip_before_mask(make_tokenizer(kind))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<doc>"]})
    save_tokenizer(tokenizer, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["<doc>"]
    assert "extra_special_tokens" not in config  # version 4 reads a mapping there
    loaded, text = AutoTokenizer.from_pretrained(tmp_path), "The [MASK] <doc> number"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_saved_tokenizers_keep_a_class_that_both_versions_have(tmp_path):
    vocabulary = {token: number for number, token in enumerate(SPECIAL.values())}
    save_tokenizer(BertTokenizerFast(vocab=vocabulary), tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"].startswith("BertTokenizer")


def test_a_tokenizer_json_alone_is_refused_with_the_remedy(scratch):
    save_tokenizer(make_tokenizer("wordpiece"), scratch / "whole")
    (scratch / "alone").mkdir()
    content = (scratch / "whole/tokenizer.json").read_text()
    (scratch / "alone/tokenizer.json").write_text(content)
    with pytest.raises(
        InputError, match=r"mask token.*without one\. .*mask_token=\.\.\."
    ):
        load_tokenizer("alone")
