"""ESM's tokenizer as a fast one."""

from itertools import product

import pytest
import transformers

from r2mae.data.esm_tokenizer import as_fast

KMERS = ["".join(letters) for letters in product("ACGT", repeat=3)]


@pytest.mark.parametrize("last", [None, "<eos>"])
@pytest.mark.parametrize(
    "text",
    ["ACGTACG", "ACGNTTAC", "acg", "ACG<mask>TTT", "ACG TTT AC", "", "ACGX-YTTT"],
)
def test_tokens_are_those_of_the_slow_one(tmp_path, last, text):
    special = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>"]
    (tmp_path / "vocab.txt").write_text("\n".join([*special, *KMERS, *"ACGTN"]))
    slow = transformers.EsmTokenizer(str(tmp_path / "vocab.txt"), eos_token=last)
    fast = as_fast(slow)
    assert fast.is_fast
    assert fast(text)["input_ids"] == slow(text)["input_ids"]
    for name in ("pad", "mask", "cls", "unk", "eos"):
        token = f"{name}_token_id"
        assert getattr(fast, token) == getattr(slow, token)
