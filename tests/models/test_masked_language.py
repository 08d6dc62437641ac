"""Masked language models: equal to transformers' own, packed or alone; nothing hidden leaks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    EsmConfig,
    ModernBertConfig,
    RobertaConfig,
)

from r2mae.masking.pattern import sample_mask
from r2mae.models.language_encoder import LanguageEncoder, Vocabulary
from r2mae.models.masked_language import MaskedLanguageModel

SIZE, LENGTH = 120, 48
SHAPE = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
IDS = {
    "pad_token_id": 0,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
CONFIGS = {
    # Windows of 8 tokens to each side, so that they matter in 48.
    "modernbert": ModernBertConfig(**SHAPE, **IDS, local_attention=16),
    "bert": BertConfig(**SHAPE, pad_token_id=0),
    "roberta": RobertaConfig(
        **SHAPE,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        max_position_embeddings=60,
    ),
    "esm": EsmConfig(
        **SHAPE,
        pad_token_id=0,
        mask_token_id=4,
        max_position_embeddings=60,
        emb_layer_norm_before=True,
    ),
    "esm with rotary positions": EsmConfig(
        **SHAPE, pad_token_id=0, mask_token_id=4, position_embedding_type="rotary"
    ),
}
ROWS = [[48], [20, 28], [1, 40, 7], [48], [16, 16, 16], [10, 38]]


def make(kind, **more):
    torch.manual_seed(0)
    whole = AutoModelForMaskedLM.from_config(CONFIGS[kind]).double()
    for parameter in whole.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    vocabulary = Vocabulary(SIZE, 4, 0, (0, 2, 3, 4))
    return MaskedLanguageModel(whole, vocabulary, length=LENGTH, **more).eval()


def make_batch(rows=ROWS):
    draw = torch.Generator().manual_seed(1)
    lengths = [length for row in rows for length in row]
    batch = {"input_ids": torch.randint(5, SIZE, (len(rows), LENGTH), generator=draw)}
    batch |= {"positions": torch.arange(len(rows)), "indices": torch.arange(len(rows))}
    return batch | {
        "segment_starts": np.cumsum([0, *lengths[:-1]]),
        "segment_lengths": np.array(lengths),
    }


def hide(model, batch, ratio=0.3, seed=0):
    ratios = torch.full((len(batch["input_ids"]),), ratio, dtype=torch.float64)
    mask = sample_mask(
        "random",
        model.masking.eligible(batch),
        ratios,
        seed,
        batch["positions"],
        (LENGTH,),
    )
    return batch | model.masking.corrupt(batch, mask, seed), mask


@pytest.mark.parametrize("kind", CONFIGS)
def test_packed_loss_and_gradients_are_transformers_own(kind):
    """Documents packed, last block and head at hidden positions alone; theirs one document at a time, in full."""
    model = make(kind, replacement=(0.8, 0.1))
    batch, mask = hide(model, make_batch())
    theirs, count = torch.zeros((), dtype=torch.float64), 0
    for number, row in enumerate(ROWS):
        start = 0
        for length in row:
            where = slice(start, start + length)
            seen, hidden = (
                batch["seen_ids"][number : number + 1, where],
                mask.is_masked[number, where],
            )
            logits = model.whole(
                input_ids=seen, attention_mask=torch.ones(1, length)
            ).logits[0]
            theirs = theirs + F.cross_entropy(
                logits[hidden],
                batch["input_ids"][number, where][hidden],
                reduction="sum",
            )
            count, start = count + int(hidden.sum()), start + length
    theirs.backward()
    wanted = {
        name: p.grad.clone()
        for name, p in model.whole.named_parameters()
        if p.grad is not None
    }
    model.zero_grad()
    loss = model(batch, mask).loss
    loss.total.backward()
    assert abs(float((loss.total - theirs).detach())) < 1e-10 * float(theirs.detach())
    assert float(loss.count) == count
    for name, parameter in model.whole.named_parameters():
        if name in wanted:  # rotary angles are float32 in both
            assert torch.allclose(parameter.grad, wanted[name], rtol=0, atol=1e-7), name


@pytest.mark.parametrize("kind", CONFIGS)
def test_nothing_hidden_leaks(kind):
    """All [MASK]: other values in hidden places change no feature, bit by bit."""
    model = make(kind)
    batch, mask = hide(model, make_batch())
    changed = batch | {"input_ids": torch.where(mask.is_masked, 7, batch["input_ids"])}
    changed = changed | model.masking.corrupt(changed, mask, 0)
    with torch.no_grad():
        assert torch.equal(
            model.features(batch, mask)[0], model.features(changed, mask)[0]
        )
        moved = batch | {"seen_ids": batch["seen_ids"].roll(1, 1)}
        assert not torch.equal(
            model.features(batch, mask)[0], model.features(moved, mask)[0]
        )


@pytest.mark.parametrize("kind", CONFIGS)
def test_nothing_hidden_leaks_where_hide_has_not_run(kind):
    """Held-out loss and `evaluate --task masked` give the model a plain batch and a mask."""
    model, batch = make(kind), make_batch()
    mask = hide(model, batch)[1]
    changed = batch | {"input_ids": torch.where(mask.is_masked, 7, batch["input_ids"])}
    with torch.no_grad():
        before, after = model.features(batch, mask)[0], model.features(changed, mask)[0]
        assert torch.equal(before, after)


@pytest.mark.parametrize("kind", CONFIGS)
def test_documents_do_not_see_each_other(kind):
    model, rows = make(kind), [[20, 28]] * 2
    batch, mask = hide(model, make_batch(rows))
    seen = batch["seen_ids"].clone()
    seen[:, 20:] = 9
    with torch.no_grad():
        before, slots = model.features(batch, mask)
        after, _ = model.features(batch | {"seen_ids": seen}, mask)
    first = slots % LENGTH < 20
    assert torch.equal(before[first], after[first])
    assert not torch.equal(before[~first], after[~first])


def test_unequal_counts_and_padding():
    """Rows that hide unequal numbers, and rows shorter than the batch, give what each gives alone."""
    model = make("bert")
    batch = make_batch([[48], [48], [48]])
    batch["input_ids"][1, 30:] = 0
    batch["segment_lengths"] = np.array([48, 30, 48])
    whole, mask = hide(model, batch, 0.4)
    assert mask.masked_weight is not None
    loss, alone = model(whole, mask).loss, 0.0
    for row, length in enumerate((48, 30, 48)):
        single = {
            key: whole[key][row : row + 1, :length] for key in ("input_ids", "seen_ids")
        }
        single |= {
            "segment_starts": np.array([0]),
            "segment_lengths": np.array([length]),
        }
        inside = mask.is_masked[row : row + 1, :length]
        from r2mae.masking.mask import build_mask

        alone += float(model(single, build_mask(inside)).loss.total.detach())
    assert abs(float(loss.total.detach()) - alone) < 1e-9
    assert float(loss.count) == float(mask.is_masked.sum())


def test_replacement_has_its_shares_and_is_a_function_of_position():
    model = make("bert", replacement=(0.8, 0.1))
    batch = make_batch([[48]] * 400)
    found, mask = hide(model, batch, 0.5)
    seen, ids, hidden = found["seen_ids"], batch["input_ids"], mask.is_masked
    assert torch.equal(seen[~hidden], ids[~hidden])
    count = int(hidden.sum())
    masked = int((seen[hidden] == 4).sum()) / count
    same = int((seen[hidden] == ids[hidden]).sum()) / count
    assert abs(masked - 0.8) < 0.015
    assert abs(same - 0.1 - 0.1 / 116) < 0.015
    assert not np.isin(seen[hidden & (seen != 4)].numpy(), [0, 2, 3]).any()
    part = {key: batch[key][5:9] for key in ("input_ids", "positions", "indices")}
    part |= {"segment_starts": np.arange(4) * 48, "segment_lengths": np.full(4, 48)}
    assert torch.equal(hide(model, part, 0.5)[0]["seen_ids"], seen[5:9])


def test_special_tokens_are_never_hidden():
    model, batch = make("bert"), make_batch()
    batch["input_ids"][:, ::3] = 3
    _, mask = hide(model, batch, 0.9)
    assert not mask.is_masked[:, ::3].any()
    assert mask.is_masked.sum(dim=1).eq(round(0.9 * 32)).all()


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embed_is_theirs(kind, pooling):
    model = make(kind)
    encoder = LanguageEncoder(model.base, model.vocabulary, pooling).eval()
    batch = make_batch([[48], [48]])
    batch["input_ids"][1, 30:] = 0
    batch["segment_lengths"] = np.array([48, 30])
    is_token = (batch["input_ids"] != 0).long()
    with torch.no_grad():
        states = model.base(
            input_ids=batch["input_ids"], attention_mask=is_token
        ).last_hidden_state
        wanted = (
            states[:, 0]
            if pooling == "cls"
            else (states * is_token[:, :, None]).sum(1) / is_token.sum(1, True)
        )
        assert torch.allclose(encoder.embed(batch), wanted, atol=1e-6)
    depths = encoder.layers()
    assert set(depths) == {name for name, _ in encoder.named_parameters()}
    assert sorted(set(depths.values()))[:2] == [0, 1]


def test_baseline_counts_visible_tokens():
    model, batch = make("bert"), make_batch([[LENGTH]])
    batch["input_ids"][0] = torch.tensor([2, 7, 7, 7, 9, 3] + [0] * (LENGTH - 6))
    mask = hide(model, batch, 0.5)[1]
    is_masked = torch.zeros(1, LENGTH, dtype=torch.bool)
    is_masked[0, [2, 4]] = True
    counts = model.baseline(batch, mask._replace(is_masked=is_masked)).expm1()
    expected = torch.zeros(1, SIZE)
    expected[0, 7] = 2
    torch.testing.assert_close(counts, expected)
    expected[0, [7, 9]] = torch.tensor([3.0, 1.0])
    torch.testing.assert_close(model.baseline(batch).expm1(), expected)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_tokens_are_those_that_embed_pools_and_hidden_ones_remain(kind):
    batch, lengths = make_batch([[48]] * 3), [48, 20, 37]
    batch["segment_lengths"] = np.array(lengths)
    is_padding = torch.arange(LENGTH) >= torch.tensor(lengths)[:, None]
    batch["input_ids"][is_padding] = 0
    for pooling in ("mean", "cls"):
        model = make(kind, pooling=pooling)
        _, mask = hide(model, batch)
        for masks in ((), (mask,)):
            tokens, is_token = model.embed_tokens(batch, *masks)
            assert torch.equal(is_token, ~is_padding)
            pairs = zip(tokens, is_token, strict=True)
            means = torch.stack([rows[inside].mean(dim=0) for rows, inside in pairs])
            pooled = tokens[:, 0] if pooling == "cls" else means
            torch.testing.assert_close(pooled, model.embed(batch, *masks))


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_layers_are_the_hidden_states_of_transformers(kind):
    model, batch = make(kind), make_batch([[48]] * 2)
    states = model.base(batch["input_ids"], output_hidden_states=True).hidden_states
    assert model.num_layers == 4
    for layer in range(1, 4):
        expected = states[layer]
        if kind == "modernbert":
            expected = model.base.final_norm(expected)
        if kind.startswith("esm"):
            expected = model.base.encoder.emb_layer_norm_after(expected)
        tokens, _ = model.at_layer(layer).embed_tokens(batch)
        torch.testing.assert_close(tokens, expected)
    last = model.at_layer(4).embed(batch)
    assert torch.equal(last, model.embed(batch))
