"""ESM's tokenizer (`vocab.txt`), which transformers has in Python alone, as a fast one."""

from typing import Any


def as_fast(tokenizer: Any) -> Any:
    """A fast tokenizer that makes the tokens of an EsmTokenizer.

    Both cut a text at the longest token of the vocabulary that begins at the leftmost
    place where any does: added tokens are matched so in Rust.
    """
    from tokenizers import (
        AddedToken,
        Tokenizer,
        models,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    names = {
        name: token
        for name, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str)
    }
    fast = Tokenizer(models.WordLevel(tokenizer.get_vocab(), tokenizer.unk_token))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {*names.values()}
    every = [AddedToken(token, normalized=False) for token in tokenizer.all_tokens]
    fast.add_tokens([token for token in every if token.content not in special])
    borders = [tokenizer.cls_token, tokenizer.eos_token]
    first, last = (f"{token or ''}" for token in borders)
    fast.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}".strip(),
        special_tokens=[
            (token, tokenizer.convert_tokens_to_ids(token))
            for token in borders
            if token is not None
        ],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, **names, clean_up_tokenization_spaces=False
    )
