"""Packed samples get what they get alone, at the cost of what they get alone: sequence, attention and blocks."""

from itertools import pairwise

import pytest
import torch
from lightning_fabric.utilities import move_data_to_device
from timm.layers import SwiGLU, SwiGLUPacked
from timm.models.vision_transformer import (
    DiffParallelScalingBlock,
    ParallelScalingBlock,
    ResPostBlock,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.models import autoencoder as vision
from r2mae.models import packed
from r2mae.models.packed import build_packing, pack, packed_attention, unpack
from r2mae.models.packed_block import _path_weight, packable
from tests.modalities.vision.models.test_autoencoder import (
    ENCODERS,
    UNEVEN,
    make,
    make_batch,
    make_mask,
    spread_over,
)
from tests.models.test_cost import SHAPES, setting

BLOCKS = ENCODERS | {
    "gated MLP": {"mlp_layer": SwiGLUPacked},
    "gated MLP of three maps": {"mlp_layer": SwiGLU, "init_values": 0.1},
    "more norms": {
        "scale_attn_norm": True,
        "scale_mlp_norm": True,
        "mlp_layer": SwiGLU,
    },
}
OTHERS = {
    "norm after": {"block_fn": ResPostBlock},
    "parallel": {"block_fn": ParallelScalingBlock},
    "differential": {"attn_layer": "diff"},
    "differential, parallel": {"block_fn": DiffParallelScalingBlock},
}
# Hidden patches of 16, a row; the last two would need no packing and are packed all the same.
COUNTS = {
    "uneven": UNEVEN,
    "extremes": [1, 15, 15, 1],
    "two": [15, 1],
    "equal": [6] * 4,
    "one sample": [9],
}
every_count = pytest.mark.parametrize("counts", COUNTS.values(), ids=list(COUNTS))


@pytest.fixture(params=[0, 10**9], ids=["groups of equal lengths", "one padded group"])
def grouping(request, monkeypatch):
    monkeypatch.setattr(packed, "_PAIRS_PER_CALL", request.param)


def packed_mask(counts):
    return make_mask(counts)._replace(
        visible_counts=tuple(16 - count for count in counts)
    )


def results(model, batch, mask):
    """(predictions, loss, gradients by name) of one step."""
    model.zero_grad()
    output = model(batch, mask)
    output.loss.total.backward()
    gradients = {
        name: p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return output.predictions.detach(), output.loss.total.detach(), gradients


def check_alone(model, counts, tolerance):
    """Every row's predictions, the loss and every gradient, together and alone."""
    batch, mask = make_batch(len(counts)), packed_mask(counts)
    predictions, loss, gradients = results(model, batch, mask)
    total, sums = 0.0, {}
    for row, hidden in enumerate(counts):
        alone = build_mask(mask.is_masked[row : row + 1])
        found, part, some = results(
            model, {"images": batch["images"][row : row + 1]}, alone
        )
        assert (predictions[row, :hidden] - found[0]).norm() <= tolerance * found.norm()
        total = total + part
        sums = {name: sums.get(name, 0.0) + gradient for name, gradient in some.items()}
    assert (loss - total).abs() <= tolerance * total
    assert gradients.keys() == sums.keys()
    largest = max(gradient.norm() for gradient in sums.values())
    for name, gradient in sums.items():
        # Keys' biases have gradients that are 0 but for rounding: these are measured against the largest.
        assert (gradients[name] - gradient).norm() <= tolerance * max(
            gradient.norm(), 1e-3 * largest
        ), name


@every_count
@pytest.mark.parametrize("options", BLOCKS.values(), ids=list(BLOCKS))
def test_each_sample_gets_what_it_gets_alone(options, counts, grouping):
    model = make(options)
    assert packable(model.encoder.blocks)
    check_alone(model, counts, 1e-5)
    check_alone(model.double(), counts, 1e-6)


@pytest.mark.parametrize("options", OTHERS.values(), ids=list(OTHERS))
def test_other_blocks_run_padded_and_give_the_same(options, monkeypatch):
    model = make(options).double()
    assert not packable(model.encoder.blocks)
    monkeypatch.setattr(vision, "packed_block", None)
    check_alone(model, UNEVEN, 1e-6)


def test_hooked_blocks_run_padded():
    model, seen = make(), []
    model.encoder.blocks[1].register_forward_hook(lambda *_: seen.append(1))
    model(make_batch(), packed_mask(UNEVEN))
    assert seen == [1]


def test_without_fused_attention(grouping):
    model = make().double()
    fused = results(model, make_batch(), packed_mask(UNEVEN))[0]
    for block in model.encoder.blocks:
        block.attn.fused_attn = False
    torch.testing.assert_close(
        results(model, make_batch(), packed_mask(UNEVEN))[0], fused
    )
    check_alone(model, UNEVEN, 1e-6)


@pytest.mark.parametrize("options", BLOCKS.values(), ids=list(BLOCKS))
def test_under_autocast(options, grouping):
    model, batch, mask = (
        make({"drop_path_rate": 0.5} | options).train(),
        make_batch(),
        packed_mask(UNEVEN),
    )
    found = []
    for each in (mask, mask._replace(visible_counts=None)):
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(batch, each).loss.total
        loss.backward()
        found.append(loss.item())
    assert found[0] == pytest.approx(found[1], rel=0.02)


@torch.no_grad()
def test_nothing_hidden_leaks(grouping):
    model, batch, mask = make(), make_batch(), packed_mask(UNEVEN)
    hidden = spread_over(model, mask.is_masked)
    other = {
        "images": torch.where(hidden, make_batch(seed=9)["images"], batch["images"])
    }
    assert torch.equal(model(batch, mask).predictions, model(other, mask).predictions)


def test_samples_of_one_length_share_a_group_without_padding():
    """Few tokens are padded together; many of one length are not."""
    assert packed._split((3, 3, 4, 5)) == [(3, 3, 4, 5)]
    many = (6,) * 16 + (9,) * 16
    assert packed._split(many) == [(6,) * 16, (9,) * 16]
    assert packed._split((2, 2, *many[16:])) == [(2, 2), (9,) * 16]
    assert packed._split((3, 40, 41)) == [(3,), (40, 41)]


def off_by_one_mask(group):
    return (
        group
        if group.is_token is None
        else group._replace(is_token=group.is_token.roll(1, dims=-1))
    )


def everything_seen(group):
    return (
        group
        if group.is_token is None
        else group._replace(is_token=torch.ones_like(group.is_token))
    )


def wrong_slot_of_token(group):
    slots = group.slot_of_token
    return group if slots is None else group._replace(slot_of_token=slots.roll(1))


def wrong_token_of_slot(group):
    tokens = group.token_of_slot
    return group if tokens is None else group._replace(token_of_slot=tokens.flip(0))


@pytest.mark.parametrize(
    "defect",
    [off_by_one_mask, everything_seen, wrong_slot_of_token, wrong_token_of_slot],
)
def test_planted_defects_are_seen(defect, monkeypatch):
    monkeypatch.setattr(packed, "_PAIRS_PER_CALL", 10**9)
    model, sound = make().double(), packed.make_group
    check_alone(model, UNEVEN, 1e-6)
    monkeypatch.setattr(packed, "make_group", lambda *args: defect(sound(*args)))
    with pytest.raises(AssertionError):
        check_alone(model, UNEVEN, 1e-6)


def kernel_of(shift):
    """A stand-in for the CUDA kernel, by its documentation; `shift` moves the inner starts."""

    def kernel(query, key, value, starts, key_starts, most, key_most, *, window_size):
        assert window_size == (-1, -1)
        assert starts.dtype == torch.int32
        assert torch.equal(starts, key_starts)
        bounds = starts.tolist()
        assert most == key_most == max(end - start for start, end in pairwise(bounds))
        assert bounds[-1] == len(query)
        bounds[1:-1] = [bound + shift for bound in bounds[1:-1]]
        parts = []
        for start, end in pairwise(bounds):
            one = [part[start:end].transpose(0, 1) for part in (query, key, value)]
            parts.append(
                nn.functional.scaled_dot_product_attention(*one).transpose(0, 1)
            )
        return torch.cat(parts)

    return kernel


@pytest.mark.parametrize("shift", [0, 1])
def test_the_kernel_gets_what_it_documents(shift, monkeypatch):
    monkeypatch.setattr(packed, "has_kernel", lambda *_: True)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel_of(shift))
    model = make({"qk_norm": True}).double()
    if shift == 0:
        check_alone(model, UNEVEN, 1e-6)
    else:
        with pytest.raises(AssertionError):
            check_alone(model, UNEVEN, 1e-6)


def test_pack_and_unpack_are_inverse():
    lengths = [3, 1, 5, 3]
    packing = build_packing(lengths, torch.device("cpu"))
    tokens = torch.randn(4, 5, 2, dtype=torch.float64, requires_grad=True)
    there = torch.arange(5) < torch.tensor(lengths)[:, None]
    line = pack(tokens, packing)
    assert torch.equal(
        line, torch.cat([tokens[row, : lengths[row]] for row in (1, 0, 3, 2)])
    )
    assert torch.equal(unpack(line, packing), tokens * there[:, :, None])
    assert packing.starts.tolist() == [0, 1, 4, 7, 12]
    assert torch.autograd.gradcheck(
        lambda tokens: unpack(pack(tokens, packing), packing), tokens
    )


def test_gradients_of_attention(grouping):
    packing = build_packing([3, 1, 4, 3], torch.device("cpu"))
    qkv = torch.randn(11, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda qkv: packed_attention(qkv, packing), qkv)


def test_groups_hold_every_sample_once_and_stop_at_the_price_of_a_group():
    lengths = tuple(
        sorted(
            torch.randint(
                1, 200, (64,), generator=torch.Generator().manual_seed(0)
            ).tolist()
        )
    )
    groups = packed._split(lengths)
    assert tuple(length for group in groups for length in group) == lengths
    for group in groups:
        assert (
            len(group) * group[-1] ** 2 - sum(length**2 for length in group)
            <= packed._PAIRS_PER_CALL
        )
    assert packed._split((7,) * 64) == [(7,) * 64]


def test_paths_are_dropped_by_sample_as_in_the_padded_batch(grouping):
    model = make({"drop_path_rate": 0.5}).double().train()
    batch, mask = make_batch(8), packed_mask([3, 8, 15, 1, 4, 12, 8, 9])
    found = []
    for each in (mask, mask._replace(visible_counts=None)):
        torch.manual_seed(3)
        found.append(results(model, batch, each)[0])
    torch.testing.assert_close(*found)
    path, packing = (
        model.encoder.blocks[1].drop_path1,
        build_packing(mask.visible_counts, torch.device("cpu")),
    )
    weights = _path_weight(path, torch.zeros(1), packing)[:, 0]
    of_sample = [set(weights[packing.rows == row].tolist()) for row in range(8)]
    assert all(len(weight) == 1 for weight in of_sample)
    assert set.union(*of_sample) == {0.0, 2.0}


def test_attention_weights_are_dropped_in_training_alone():
    options, mask = {"attn_drop_rate": 0.5}, packed_mask([6] * 4)
    model, batch = make(options), make_batch()
    with torch.no_grad():
        calm = model(batch, mask).predictions
        torch.testing.assert_close(calm, make()(batch, mask).predictions)
        model.train()
        assert not torch.equal(model(batch, mask).predictions, calm)
        # One group without padding is the plain batch, draws included.
        torch.manual_seed(3)
        packed_up = model(batch, mask).predictions
        torch.manual_seed(3)
        torch.testing.assert_close(
            model(batch, make_mask([6] * 4)).predictions, packed_up
        )


def test_nothing_waits_for_the_device():
    """On torch's meta device there are no values to wait for; counts travel with the mask as they are."""
    mask = move_data_to_device(packed_mask(UNEVEN), torch.device("meta"))
    assert mask.visible_counts == (13, 8, 1, 15)
    assert mask.visible.device.type == "meta"
    model = make({"drop_path_rate": 0.5, "reg_tokens": 4}).to("meta").train()
    model({"images": make_batch()["images"].to("meta")}, mask).loss.total.backward()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_operations_are_those_of_the_samples_alone(shape):
    model, batch, _, _ = setting(shape, 0.5)
    num_patches = model.grid[0] * model.grid[1]
    images = batch["images"][:1].expand(16, -1, -1, -1)
    hidden = torch.linspace(0.6, 0.9, 16).mul(num_patches).round()
    mask = build_mask(torch.rand(16, num_patches).argsort(dim=1) < hidden[:, None])
    alone = sum(model.training_flops(count) for count in mask.visible_counts)
    operations = {}
    for name, each in {
        "packed": mask,
        "padded": mask._replace(visible_counts=None),
    }.items():
        with FlopCounterMode(display=False) as counter:
            model({"images": images}, each).loss.total.backward()
        operations[name] = counter.get_total_flops() / alone
    # What is above 1 are the ends (embedding and pixels, still padded) and padding inside attention groups.
    assert 1 <= operations["packed"] <= min(1.1, operations["padded"] - 0.03)
