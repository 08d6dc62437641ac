"""The rule for pretrained weights: tokens of random input are those of their own tokenizer."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from r2mae.data.tokenizer import load_tokenizer
from r2mae.errors import InputError
from r2mae.interop.token_rule import check_same_tokens

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MERGES = [("a", "b"), ("b", "c"), ("A", "B")]


def write(folder, merges=MERGES, *, lower=False, ends=True):
    """A BPE tokenizer of one vocabulary, whatever its merges and normalizer."""
    words = [*SPECIAL, *"abcdABCD", "ab", "bc", "AB"]
    vocabulary = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lower:
        inner.normalizer = normalizers.Lowercase()
    last = "[SEP]" if ends else ""
    inner.post_processor = processors.TemplateProcessing(
        single=f"[CLS] $A {last}".strip(),
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {f"{word[1:-1].lower()}_token": word for word in SPECIAL}
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    fast.save_pretrained(folder)
    return str(folder)


def test_the_same_tokenizer_in_another_folder_is_taken(tmp_path):
    ours = load_tokenizer(write(tmp_path / "ours"))
    check_same_tokens(ours, write(tmp_path / "theirs"))


@pytest.mark.parametrize(
    "other", [{"merges": [("b", "c"), ("a", "b"), ("A", "B")]}, {"lower": True}]
)
def test_other_merges_or_case_of_the_same_vocabulary_are_refused(tmp_path, other):
    ours = load_tokenizer(write(tmp_path / "ours", **other))
    theirs = write(tmp_path / "theirs")
    assert ours.get_vocab() == load_tokenizer(theirs).get_vocab()
    with pytest.raises(InputError, match="another token .*Leave data.tokenizer out"):
        check_same_tokens(ours, theirs)


def test_a_model_whose_texts_do_not_end_in_sep_is_refused(tmp_path):
    theirs = write(tmp_path / "theirs", ends=False)
    with pytest.raises(InputError, match=r"\['\[SEP\]'\], not \[\]. Name another"):
        check_same_tokens(load_tokenizer(theirs), theirs)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    config = BertConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path / "theirs")
    ours = load_tokenizer(write(tmp_path / "ours"))
    with pytest.raises(InputError, match="must have the tokenizer that it was trained"):
        check_same_tokens(ours, str(tmp_path / "theirs"))
