"""Masked models of DNA: nothing hidden leaks, N is never asked for, weights as by hand, other species seen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AutoModelForMaskedLM, ModernBertConfig

from r2mae.errors import InputError
from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import sample_mask
from r2mae.modalities.dna.conservation import Conservation
from r2mae.modalities.dna.models.columns import Columns, baseline, kmer_counts
from r2mae.modalities.dna.models.conv import DnaConv, MaskedDnaConv
from r2mae.modalities.dna.models.transformer import MaskedDnaTransformer
from r2mae.modalities.dna.tokens import DnaTokens, find_codec
from r2mae.models.language_encoder import Vocabulary

LENGTH, ROWS, OTHERS = 48, 5, 3
PUBLISHED = Conservation(0.1, True, 0.1, 7, 0.1, 0.5)


def conv(num_others=0, **more):
    torch.manual_seed(0)
    shape = {
        "width": 16,
        "depth": 3,
        "kernel": 3,
        "dilations": (1, 2),
        "num_others": num_others,
    }
    return varied(MaskedDnaConv(length=LENGTH, **shape, **more))


def transformer(num_others=0, kmer=1, **more):
    torch.manual_seed(0)
    codec = find_codec(None, kmer)
    size = len(codec.tokenizer)
    ends = {
        "pad_token_id": 0,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    shape = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
    }
    whole = AutoModelForMaskedLM.from_config(
        ModernBertConfig(vocab_size=size, **shape, **ends)
    )
    bases = tuple(codec.kmers.tolist()) if kmer == 1 else ()
    vocabulary = Vocabulary(size, 3, 0, (0, 1, 2, 3, 4))
    model = MaskedDnaTransformer(
        whole,
        vocabulary,
        length=LENGTH // kmer + 2,
        num_others=num_others,
        kmer=kmer,
        bases=bases,
        **more,
    )
    return varied(model)


def varied(model):
    """Weights that let every input count."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.double().eval()


MODELS = {"conv": conv, "transformer": transformer}


def make_batch(num_others=0, rows=ROWS):
    draw = torch.Generator().manual_seed(1)
    bases = torch.randint(0, 4, (rows, LENGTH), generator=draw)
    bases[0, :9] = 4
    batch = {
        "bases": bases,
        "positions": torch.arange(rows),
        "indices": torch.arange(rows),
    }
    batch |= {"is_repeat": torch.rand(rows, LENGTH, generator=draw) < 0.3}
    batch |= {"phylop": torch.randn(rows, LENGTH, generator=draw) * 3}
    batch |= {"phastcons": torch.rand(rows, LENGTH, generator=draw) ** 9}
    if num_others:
        batch["others"] = torch.randint(
            0, 6, (rows, LENGTH, num_others), generator=draw, dtype=torch.uint8
        )
    return find_codec(None, 1).encode(batch)


def hide(model, batch, ratio=0.3, seed=0):
    eligible = model.masking.eligible(batch)
    ratios = torch.full((len(eligible),), ratio, dtype=torch.float64)
    mask = sample_mask(
        "random", eligible, ratios, seed, batch["positions"], (eligible.shape[1],)
    )
    return batch | model.masking.corrupt(batch, mask, seed), mask


def changed_where_hidden(batch, mask):
    """Other bases in hidden places, in bases and tokens."""
    is_base = (
        mask.is_masked if mask.is_masked.shape[1] == LENGTH else mask.is_masked[:, 1:-1]
    )
    bases = torch.where(is_base, (batch["bases"] + 1) % 4, batch["bases"])
    kept = {
        key: value
        for key, value in batch.items()
        if key not in ("shown", "seen_ids", "labels", "weights")
    }
    return find_codec(None, 1).encode(kept | {"bases": bases})


@pytest.mark.parametrize("kind", MODELS)
def test_the_linear_theory_reads_bases_but_no_aligned_species(kind):
    ids = MODELS[kind]().tokens(make_batch())
    assert ids.shape[0] == ROWS
    assert len(ids[ids >= 0].unique()) == 4
    with pytest.raises(InputError, match="without aligned species"):
        MODELS[kind](OTHERS).tokens(make_batch(OTHERS))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("num_others", [0, OTHERS])
def test_nothing_hidden_leaks(kind, num_others):
    """All [MASK]: other bases in hidden places change no logit, bit by bit; visible ones do."""
    model = MODELS[kind](num_others)
    batch, mask = hide(model, make_batch(num_others))
    other = changed_where_hidden(batch, mask)
    assert not torch.equal(other["bases"], batch["bases"])
    other |= model.masking.corrupt(other, mask, 0)
    with torch.no_grad():
        before = model.logits(batch, mask)
        assert torch.equal(before, model.logits(other, mask))
        moved = find_codec(None, 1).encode(
            {key: batch[key] for key in batch if key not in ("shown", "seen_ids")}
            | {"bases": batch["bases"].flip(1)}
        )
        assert not torch.equal(
            before, model.logits(moved | model.masking.corrupt(moved, mask, 0), mask)
        )


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("num_others", [0, OTHERS])
def test_nothing_hidden_leaks_where_hide_has_not_run(kind, num_others):
    """Held-out loss, `evaluate --task masked` and `score-variants` give the model a plain batch and a mask."""
    model, batch = MODELS[kind](num_others), make_batch(num_others)
    mask = hide(model, batch)[1]
    other = changed_where_hidden(batch, mask)
    assert not torch.equal(other["bases"], batch["bases"])
    with torch.no_grad():
        before, after = model.logits(batch, mask), model.logits(other, mask)
        assert torch.equal(before, after)
        predictions = model(batch, mask).predictions
        assert torch.equal(predictions, model(other, mask).predictions)


@pytest.mark.parametrize("kind", MODELS)
def test_other_species_are_seen_where_the_reference_is_hidden(kind):
    model = MODELS[kind](OTHERS)
    batch, mask = hide(model, make_batch(OTHERS))
    hidden = mask.is_masked if kind == "conv" else mask.is_masked[:, 1:-1]
    others = torch.where(hidden[:, :, None], (batch["others"] + 1) % 6, batch["others"])
    with torch.no_grad():
        before, after = (
            model.logits(batch, mask),
            model.logits(batch | {"others": others}, mask),
        )
        assert not torch.allclose(before, after)
        gap = torch.full_like(
            batch["others"], 6
        )  # no letter at all: as if there were no species
        bare = {key: value for key, value in batch.items() if key != "others"}
        assert torch.allclose(
            model.logits(batch | {"others": gap}, mask), model.logits(bare, mask)
        )


def test_columns_are_one_hot():
    columns = Columns(2, 3)
    others = torch.tensor([[[0, 5]]], dtype=torch.uint8)
    weight = columns.project.weight
    assert torch.allclose(columns(others)[0, 0], weight[:, 0] + weight[:, 6 + 5])


@pytest.mark.parametrize("kind", MODELS)
def test_unknown_bases_are_never_hidden_and_exactly_k_others_are(kind):
    model, batch = MODELS[kind](), make_batch()
    batch, mask = hide(model, batch, 0.5)
    hidden = mask.is_masked if kind == "conv" else mask.is_masked[:, 1:-1]
    assert not hidden[0, :9].any()
    assert hidden.sum(dim=1).tolist() == [round(0.5 * 39 + 0.01), 24, 24, 24, 24]
    assert int(model(batch, mask).loss.count) == int(hidden.sum())


@pytest.mark.parametrize("kind", MODELS)
def test_loss_is_cross_entropy_over_hidden_bases(kind):
    model = MODELS[kind]()
    batch, mask = hide(model, make_batch())
    hidden = mask.is_masked if kind == "conv" else mask.is_masked[:, 1:-1]
    logits, output = model.logits(batch, mask), model(batch, mask)
    labels = batch["bases"][hidden] + (0 if kind == "conv" else 5)
    assert torch.allclose(
        output.loss.total, F.cross_entropy(logits, labels, reduction="sum")
    )
    with torch.no_grad():
        assert torch.equal(model(batch, mask).predictions, logits.argmax(dim=1))


@pytest.mark.parametrize("kind", MODELS)
def test_weights_and_labels_of_the_loss_are_the_published_ones(kind):
    model = MODELS[kind](conservation=PUBLISHED)
    batch, mask = hide(model, make_batch())
    hidden = mask.is_masked if kind == "conv" else mask.is_masked[:, 1:-1]
    weights = PUBLISHED.weights(
        batch["is_repeat"], batch["phylop"], batch["phastcons"]
    )[hidden].double()
    labels = PUBLISHED.labels(
        batch["bases"], batch["phastcons"], 0, batch["positions"]
    )[hidden]
    assert (labels != batch["bases"][hidden]).any()
    losses = F.cross_entropy(
        model.logits(batch, mask),
        labels + (0 if kind == "conv" else 5),
        reduction="none",
    )
    loss = model(batch, mask).loss
    assert torch.allclose(loss.total, (losses * weights).sum(), rtol=1e-6)
    assert torch.allclose(loss.count.double(), weights.sum(), rtol=1e-6)


def test_a_sequence_does_not_depend_on_the_padding_of_its_batch():
    model = conv()
    bases = make_batch()["bases"][1:3]
    padded = torch.full((2, LENGTH), 6)
    padded[0], padded[1, :30] = bases[0], bases[1, :30]
    together = model.embed({"bases": padded, "lengths": torch.tensor([LENGTH, 30])})
    assert torch.allclose(
        together[1], model.embed({"bases": bases[1:, :30]})[0], atol=1e-12
    )
    assert torch.allclose(together[0], model.embed({"bases": bases[:1]})[0], atol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_features_over_both_strands_do_not_depend_on_the_strand(kind):
    model, bases = (
        MODELS[kind](),
        torch.tensor([[0, 0, 1, 2, 2, 1, 3, 4], [3, 1, 1, 1, 0, 6, 6, 6]]),
    )
    turned = torch.tensor([[4, 0, 2, 1, 1, 2, 3, 3], [3, 2, 2, 2, 0, 6, 6, 6]])
    found = []
    for one, other in ((bases, turned), (turned, bases)):
        batch = {"bases": one, "lengths": torch.tensor([8, 5])}
        batch |= {"other_strand": {"bases": other, "lengths": torch.tensor([8, 5])}}
        batch = find_codec(None, 1).encode(batch) if kind == "transformer" else batch
        found.append(model.embed(batch))
        single = {key: value for key, value in batch.items() if key != "other_strand"}
        assert not torch.allclose(model.embed(single), found[-1], atol=1e-6)
    torch.testing.assert_close(*found)


def test_receptive_field_grows_with_dilations():
    model = DnaConv(width=8, depth=3, kernel=3, dilations=(1, 2, 4)).eval()
    bases = torch.zeros(1, LENGTH, dtype=torch.int64)
    before = model.encode(bases, {})
    bases[0, 20] = 2
    moved = (model.encode(bases, {}) != before).any(dim=2)[0].nonzero()[:, 0]
    assert moved.tolist() == list(range(13, 28))


@pytest.mark.parametrize("kind", MODELS)
def test_layers_name_every_parameter_of_the_encoder(kind):
    model = MODELS[kind](OTHERS)
    own = {
        name
        for name, _ in model.named_parameters()
        if not name.startswith(("predict.", "whole.head.", "whole.decoder."))
    }
    assert set(model.layers()) == own
    assert min(model.layers().values()) == 0


def test_costs_grow_with_the_model():
    assert conv().training_flops(30) > 0
    assert conv(OTHERS).training_flops(30) > conv().training_flops(30)
    assert conv().saved_values(30).wide > 0


def test_kmer_counts_by_hand():
    bases = torch.tensor([[0, 1, 0, 1, 4, 1]])
    found = kmer_counts(bases, 2)
    assert torch.allclose(found[0, 1], torch.tensor(2.0))  # AC twice
    assert torch.allclose(found[0, 4], torch.tensor(1.0))  # CA once
    assert found.sum() == found[0, 1] + found[0, 4]
    assert not kmer_counts(bases[:, :3], 5).any()
    both = conv().baseline({"bases": bases, "other_strand": {"bases": bases.flip(1)}})
    assert torch.allclose(
        both, (kmer_counts(bases) + kmer_counts(bases.flip(1))).log1p()
    )


def test_baseline_expects_hidden_bases_at_the_frequencies_of_visible_ones():
    bases = torch.tensor([[0, 1, 2, 3, 0]])  # ACGTA
    is_masked = torch.tensor([[False, False, True, False, False]])
    mask = build_mask(is_masked, gather=False)
    expected = torch.zeros(1, 1024)
    # A, C, T: 2, 1, 1 visible bases, and one added to each.
    for base, frequency in enumerate([3 / 8, 2 / 8, 1 / 8, 2 / 8]):
        number = 1 * 64 + base * 16 + 3 * 4 + 0
        expected[0, number] = frequency
    features = conv().baseline({"bases": bases}, mask)
    torch.testing.assert_close(features, expected * np.log(2))
    both = {"bases": bases, "other_strand": {"bases": (3 - bases).flip(1)}}
    # TA?GT on the other strand.
    for base, frequency in enumerate([2 / 8, 1 / 8, 2 / 8, 3 / 8]):
        expected[0, 3 * 256 + 0 + base * 16 + 2 * 4 + 3] += frequency
    features = conv().baseline(both, mask)
    torch.testing.assert_close(features, expected * np.log(2))


@pytest.mark.parametrize("kind", MODELS)
def test_baseline_of_hidden_bases_does_not_depend_on_them(kind):
    model, batch = MODELS[kind](), make_batch()
    batch, mask = hide(model, batch, 0.3)
    features = model.baseline(batch, mask)
    changed = changed_where_hidden(batch, mask)
    assert torch.equal(model.baseline(changed, mask), features)
    nothing = build_mask(torch.zeros_like(mask.is_masked), gather=False)
    torch.testing.assert_close(model.baseline(batch, nothing), model.baseline(batch))


def test_baseline_hides_all_bases_of_a_hidden_k_mer():
    model, codec = transformer(kmer=3), find_codec(None, 3)
    bases = torch.tensor([[0, 1, 2, 3, 0, 1, 2]])  # two tokens and one base
    is_masked = torch.zeros(1, 4, dtype=torch.bool)
    is_masked[0, 2] = True
    mask = build_mask(is_masked, gather=False)
    features = model.baseline(codec.encode({"bases": bases}), mask)
    is_hidden = torch.tensor([[False, False, False, True, True, True, False]])
    assert torch.equal(features, baseline({"bases": bases}, is_hidden))


@pytest.mark.parametrize("kmer", [1, 3])
def test_tokens_are_the_tokenizers_own(kmer):
    codec = find_codec(None, kmer)
    letters = "ACGTNACGTTTA"
    bases = torch.tensor([["ACGTN".index(letter) for letter in letters]])
    batch = codec.encode({"bases": bases})
    assert batch["input_ids"].tolist() == [codec.tokenizer(letters)["input_ids"]]
    assert batch["segment_lengths"].tolist() == [12 // kmer + 2]


def test_k_mers_hide_whole_words_without_n():
    model, codec = transformer(kmer=3), find_codec(None, 3)
    bases = make_batch()["bases"]
    batch = codec.encode({"bases": bases, "positions": torch.arange(ROWS)})
    batch, mask = hide(model, batch, 0.5)
    words = bases.unflatten(1, (-1, 3))
    assert not mask.is_masked[:, 1:-1][(words > 3).any(dim=2)].any()
    assert torch.isfinite(model(batch, mask).loss.total)


def test_candidates_differ_in_the_site_alone():
    codec = find_codec(None, 3)
    bases = torch.tensor([[0, 1, 2, 3, 4, 1], [0, 1, 2, 3, 0, 1]])
    place, tokens = codec.candidates(bases, torch.tensor([1, 5]))
    words = codec.tokenizer.convert_ids_to_tokens(tokens.flatten().tolist())
    assert place.tolist() == [1, 2]
    assert words == ["AAG", "ACG", "AGG", "ATG", "TAA", "TAC", "TAG", "TAT"]
    assert (
        codec.candidates(bases, torch.tensor([3, 5]))[1][0].tolist()
        == [codec.unknown] * 4
    )


def test_sequences_of_unequal_lengths_get_their_last_token_where_they_end():
    class Source:
        fingerprint, labels, labels_absent = "x", None, "none"

        def load(self, indices, positions, seed):
            return {
                "bases": torch.tensor([[0, 1, 2, 3], [0, 1, 6, 6]]),
                "lengths": torch.tensor([4, 2]),
            }

    batch = DnaTokens(Source(), find_codec(None, 1)).load(torch.arange(2), None, 0)
    assert batch["input_ids"].tolist() == [[1, 5, 6, 7, 8, 2], [1, 5, 6, 2, 0, 0]]
    assert np.array_equal(batch["segment_lengths"], [6, 4])


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_tokens_of_both_strands_have_the_mean_that_embed_has(kind):
    model = MODELS[kind]()
    bases = torch.tensor([[0, 0, 1, 2, 2, 1, 3, 4], [3, 1, 1, 1, 0, 6, 6, 6]])
    turned = torch.tensor([[4, 0, 2, 1, 1, 2, 3, 3], [3, 2, 2, 2, 0, 6, 6, 6]])
    batch = {"bases": bases, "lengths": torch.tensor([8, 5])}
    batch |= {"other_strand": {"bases": turned, "lengths": torch.tensor([8, 5])}}
    ends = 2 if kind == "transformer" else 0
    batch = find_codec(None, 1).encode(batch) if ends else batch
    single = {key: value for key, value in batch.items() if key != "other_strand"}
    for given, strands in ((single, 1), (batch, 2)):
        tokens, is_token = model.embed_tokens(given)
        counts = [strands * (length + ends) for length in (8, 5)]
        assert is_token.sum(dim=1).tolist() == counts
        pairs = zip(tokens, is_token, strict=True)
        means = torch.stack([rows[inside].mean(dim=0) for rows, inside in pairs])
        torch.testing.assert_close(means, model.embed(given))


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_hidden_bases_remain_tokens_but_their_values_do_not_enter(kind):
    model = MODELS[kind]()
    batch, mask = hide(model, make_batch())
    tokens, is_token = model.embed_tokens(batch, mask)
    pairs = zip(tokens, is_token, strict=True)
    means = torch.stack([rows[inside].mean(dim=0) for rows, inside in pairs])
    torch.testing.assert_close(means, model.embed(batch, mask))
    changed = changed_where_hidden(batch, mask)
    assert torch.equal(model.embed_tokens(changed, mask)[0], tokens)


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_a_layer_is_what_a_shallower_encoder_returns(kind):
    model, shallow = MODELS[kind]().eval(), MODELS[kind]().eval()
    batch, mask = hide(model, make_batch())
    assert model.num_layers >= 2
    if kind == "transformer":
        shallow.base.layers = shallow.base.layers[:1]
    else:
        shallow.blocks = shallow.blocks[:1]
    for masks in ((), (mask,)):
        features = model.at_layer(1).embed(batch, *masks)
        assert torch.equal(features, shallow.embed(batch, *masks))
        assert not torch.equal(features, model.embed(batch, *masks))
