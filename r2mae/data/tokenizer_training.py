"""Train tokenizers: byte-level BPE or WordPiece, with the special tokens of BERT."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

from r2mae.data.tokenizer import strip_before_mask
from r2mae.errors import InputError

SPECIAL = {
    "pad": "[PAD]",
    "unk": "[UNK]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
}
BYTES = "bytes"  # the name of `byte_tokenizer`


@lru_cache(maxsize=1)
def byte_tokenizer() -> Any:
    """One token per byte: a placeholder until the run that has the tokenizer exists."""
    return train_tokenizer((), "bpe", 300)


def train_tokenizer(texts: Iterable[str], kind: str, vocab_size: int) -> Any:
    """Byte-level BPE or WordPiece of texts, as transformers' fast tokenizer with BERT's special tokens.

    The same texts give the same tokens with the same numbers. All texts are held in memory.

    Raises: InputError when the texts are empty.
    """
    train = _train_bpe if kind == "bpe" else _train_wordpiece
    tokenizer = train(list(texts), vocab_size)
    if tokenizer.get_vocab_size() <= len(SPECIAL):
        raise InputError("a tokenizer must be trained on texts with words, got none.")
    return as_fast_tokenizer(tokenizer)


def as_fast_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer of tokenizers as transformers' fast tokenizer with `SPECIAL` tokens.

    tokenizer: has the special tokens in its vocabulary; encodes texts as BERT does.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    borders = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=borders,
    )
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, clean_up_tokenization_spaces=False
    )
    return strip_before_mask(fast)


def _train_bpe(texts: list[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _train_wordpiece(texts: list[str], vocab_size: int) -> Any:
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    def build(model: Any) -> Any:
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer

    trained = build(models.WordPiece(unk_token=SPECIAL["unk"]))
    # Letters are listed first: a random hash would number them, and break ties.
    alphabet = _inner_letters(trained, texts)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL.values(), *alphabet],
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    # Without the letters as special tokens, which would be matched inside words.
    return build(models.WordPiece(trained.get_vocab(), unk_token=SPECIAL["unk"]))


def _inner_letters(tokenizer: Any, texts: list[str]) -> list[str]:
    """ "##" and each letter that follows another in a word, sorted."""
    pairs: set[tuple[str, str]] = set()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        pairs.update(pairwise(normal))
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    letters = set()
    for first, second in pairs:
        tokens = split(first + second)
        if len(tokens) == 1 and tokens[0][0] == first + second:  # within a word
            letters.add(f"##{second}")
    return sorted(letters)
