"""Tokenizers of other models: one token for each base, or refused."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from r2mae.errors import InputError
from r2mae.modalities.dna.tokens import find_codec, make_codec, nucleotide_tokenizer

SPECIAL = {
    "pad": "[PAD]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
    "unk": "[UNK]",
}


def fast(tokenizer):
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def by_blanks(tokens):
    """A tokenizer of tokens between blanks, as BERT over k-mers has."""
    vocabulary = {token: n for n, token in enumerate([*SPECIAL.values(), *tokens])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return fast(tokenizer)


def bpe(splits_at_blanks):
    """Byte-pair encoding of 60 tokens, among them A, C, G and T."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    if splits_at_blanks:
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=list(SPECIAL.values()))
    tokenizer.train_from_iterator(["ACGTTGCATTAGGACC" * 20, "GATTACA" * 9], trainer)
    return fast(tokenizer)


@pytest.mark.parametrize("splits_at_blanks", [False, True])
def test_a_vocabulary_that_joins_bases_is_refused_though_it_has_each(splits_at_blanks):
    tokenizer = bpe(splits_at_blanks)
    assert {"A", "C", "G", "T"} <= set(tokenizer.get_vocab())
    with pytest.raises(
        InputError, match="must make 60 tokens of 60 bases in a row, got .*each base"
    ):
        make_codec(tokenizer)


def test_overlapping_kmers_are_refused():
    kmers = by_blanks([a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"])
    with pytest.raises(InputError, match="60 tokens of 60 3-mers in a row, got 1 of"):
        make_codec(kmers, 3)


def test_a_token_for_each_base_is_taken_with_and_without_blanks():
    assert make_codec(by_blanks("ACGT")).kmers.tolist() == [5, 6, 7, 8]
    assert make_codec(by_blanks("acgtn")).kmers.tolist() == [5, 6, 7, 8]
    for kmer in (1, 2, 6):
        codec = find_codec(None, kmer)
        assert len(codec.kmers) == 4**kmer
        assert make_codec(nucleotide_tokenizer(kmer), kmer).unknown == codec.unknown


def test_an_absent_path_is_refused_by_its_key(scratch):
    with pytest.raises(InputError, match=r"^model.tokenizer must exist, got 'runs/no'"):
        find_codec("runs/no", 1)
