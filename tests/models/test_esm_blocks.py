"""ESM's embeddings: token dropout as in transformers, packed and padded."""

import torch
from transformers import EsmConfig, EsmForMaskedLM

from r2mae.masking.mask import build_mask
from r2mae.models.language_encoder import Vocabulary
from r2mae.models.masked_language import MaskedLanguageModel
from tests.models.test_masked_language import CONFIGS, LENGTH, SIZE, hide, make_batch


@torch.no_grad()
def test_token_dropout_of_esm_is_transformers_own():
    """[MASK] enters as 0, and visible tokens make up for the share that is masked."""
    config = CONFIGS["esm"].to_dict() | {"token_dropout": True}
    whole = EsmForMaskedLM(EsmConfig(**config)).eval()
    vocabulary = Vocabulary(SIZE, 4, 0, (0, 2, 3, 4))
    model = MaskedLanguageModel(whole, vocabulary, length=LENGTH).eval()
    batch, mask = hide(model, make_batch([[20, 28]] * 2))
    tokens, _ = model.embed_tokens(batch, mask)
    for row in range(2):
        for where in (slice(0, 20), slice(20, 48)):
            expected = whole.esm(batch["seen_ids"][row : row + 1, where])
            difference = tokens[row, where] - expected.last_hidden_state[0]
            assert difference.abs().max() < 1e-6
    padded = {"input_ids": batch["seen_ids"][:, :30].clone()}
    padded["input_ids"][1, 20:] = 0
    padded["attention_mask"] = (padded["input_ids"] != 0).long()
    expected = whole.esm(**padded).last_hidden_state
    means = [expected[0].mean(dim=0), expected[1, :20].mean(dim=0)]
    assert (model.embed_padded(padded) - torch.stack(means)).abs().max() < 1e-6
    all_masked = build_mask(torch.ones(2, LENGTH, dtype=torch.bool))
    assert model.embed_tokens(batch, all_masked)[0].isfinite().all()
