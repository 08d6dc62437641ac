"""Convolutions that share weights between strands are equivariant to the reverse complement, at half the parameters."""

import copy

import pytest
import torch

from r2mae.errors import InputError
from r2mae.masking.mask import Mask
from r2mae.modalities.dna.models.conv import DnaConv, MaskedDnaConv
from r2mae.modalities.dna.models.strands import untie_strands
from r2mae.models.tuning import add_lora

WIDTH, LENGTH, OTHERS = 8, 20, 2
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5, 6])
SHAPE = {"width": WIDTH, "depth": 3, "kernel": 3, "dilations": (1, 2)}


def masked(num_others=0, rc_equivariant=True):
    torch.manual_seed(0)
    model = MaskedDnaConv(
        length=LENGTH, num_others=num_others, rc_equivariant=rc_equivariant, **SHAPE
    )
    with torch.no_grad():  # biases and norms that count
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.double().eval()


def make_batch(num_others=0):
    draw = torch.Generator().manual_seed(1)
    batch = {"bases": torch.randint(0, 5, (3, LENGTH), generator=draw)}
    if num_others:
        shape = (3, LENGTH, num_others)
        others = torch.randint(0, 6, shape, generator=draw)
        batch["others"] = others.to(torch.uint8)
    return batch


def turned(batch):
    """The reverse complement."""
    return {
        key: COMPLEMENT.to(codes.dtype)[codes.long()].flip(1)
        for key, codes in batch.items()
    }


def swapped(features):
    """The features of the other strand, from those of one: positions and halves change places."""
    return features.flip(1).roll(WIDTH // 2, -1)


@pytest.mark.parametrize("num_others", [0, OTHERS])
def test_features_of_the_other_strand_are_the_same_swapped(num_others):
    model, batch = masked(num_others), make_batch(num_others)
    ours = model.encode(batch["bases"], batch)
    theirs = model.encode(turned(batch)["bases"], turned(batch))
    torch.testing.assert_close(theirs, swapped(ours))
    assert not torch.allclose(ours, ours.roll(WIDTH // 2, -1))
    plain = masked(num_others, rc_equivariant=False)
    ours = plain.encode(batch["bases"], batch)
    theirs = plain.encode(turned(batch)["bases"], turned(batch))
    assert not torch.allclose(theirs, swapped(ours), atol=0.1)


def test_padding_changes_nothing():
    model, bases = masked(), make_batch()["bases"]
    padded = bases.clone()
    padded[:, 14:] = 6
    lengths = {"lengths": torch.full((3,), 14)}
    ours = model.embed({"bases": padded} | lengths)
    torch.testing.assert_close(ours, model.embed({"bases": bases[:, :14]}))
    other = turned({"bases": bases[:, :14]})
    torch.testing.assert_close(model.embed(other), ours.roll(WIDTH // 2, -1))


def test_hidden_bases_are_predicted_alike_on_both_strands():
    model, batch = masked(), make_batch()
    draw = torch.Generator().manual_seed(2)
    is_masked = torch.rand(3, LENGTH, generator=draw) < 0.3
    logits = []
    for each, hidden in ((batch, is_masked), (turned(batch), is_masked.flip(1))):
        empty = torch.empty(3, 0, dtype=torch.int64)
        found = model.logits(each, Mask(hidden, empty, empty))
        logits.append(torch.zeros(3, LENGTH, 4).double())
        logits[-1][hidden] = found.detach()
    torch.testing.assert_close(logits[1], logits[0].flip(1, 2))
    assert logits[0].any()


def test_both_strands_together_are_read_as_one():
    model, batch = masked(), make_batch()
    one = model.embed(batch | {"other_strand": turned(batch)})
    torch.testing.assert_close(
        one, model.embed(turned(batch) | {"other_strand": batch})
    )
    torch.testing.assert_close(one, one.roll(WIDTH // 2, -1))


def test_it_has_half_the_parameters_of_as_many_operations():
    shared, plain = masked(OTHERS), masked(OTHERS, rc_equivariant=False)
    numbers = [
        sum(parameter.numel() for parameter in model.parameters())
        for model in (shared, plain)
    ]
    assert numbers[0] * 2 == numbers[1]
    assert shared.training_flops(12) == plain.training_flops(12)
    assert set(shared.layers().values()) == set(plain.layers().values())
    assert set(DnaConv(rc_equivariant=True, **SHAPE).layers()) <= {
        name for name, _ in shared.named_parameters()
    }


def test_it_stays_equivariant_when_it_is_trained():
    model, batch = masked().train(), make_batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before = model.embed(batch).detach()
    model.embed(batch).square().sum().backward()
    assert all(p.grad is not None for p in model.blocks.parameters())
    optimizer.step()
    ours = model.encode(batch["bases"], batch)
    theirs = model.encode(turned(batch)["bases"], {})
    torch.testing.assert_close(theirs, swapped(ours))
    assert not torch.allclose(model.embed(batch), before)


def test_untied_weights_are_those_of_a_plain_network():
    model, batch = masked(OTHERS), make_batch(OTHERS)
    expected = model.embed(batch)
    plain = masked(OTHERS, rc_equivariant=False)
    untied = copy.deepcopy(model)
    untie_strands(untied)
    plain.load_state_dict(untied.state_dict())
    torch.testing.assert_close(plain.embed(batch), expected)
    assert "letters.parametrizations.weight.original" in model.state_dict()


def test_lora_which_knows_no_strands_is_refused():
    shared = r"tune\.lora must be null for DnaConv with layers that share weights"
    with pytest.raises(InputError, match=shared):
        add_lora(DnaConv(rc_equivariant=True, **SHAPE), rank=2, alpha=2.0, dropout=0.0)
