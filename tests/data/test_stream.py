import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from r2mae.data import stream as stream_module
from r2mae.data.stream import MAX_SAMPLES, MicroBatches, Stream, permute

SIZES = [
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    13,
    16,
    17,
    31,
    64,
    97,
    100,
    128,
    255,
    256,
    257,
    1000,
    1024,
    1437,
]


@pytest.mark.parametrize("num", SIZES)
def test_permute_is_a_permutation(num):
    for key in (0, 1, 2**31, 2**62, -5):
        assert permute(torch.arange(num), num, key).sort().values.tolist() == list(
            range(num)
        )


def test_keys_may_differ_between_offsets():
    offsets = torch.arange(100).repeat(3)
    keys = torch.tensor([4, 5, 6]).repeat_interleave(100)
    mixed = permute(offsets, 100, keys)
    for part, key in enumerate((4, 5, 6)):
        assert torch.equal(
            mixed[part * 100 : part * 100 + 100], permute(torch.arange(100), 100, key)
        )


def test_many_offsets_are_permuted_in_parts(monkeypatch):
    offsets, num = torch.arange(5000) * 7, 100_000
    keys = torch.arange(5000) % 3
    whole = permute(offsets, num, 5), permute(offsets, num, keys)
    monkeypatch.setattr(stream_module, "_WALKED", 1024)
    assert torch.equal(permute(offsets, num, 5), whole[0])
    assert torch.equal(permute(offsets, num, keys), whole[1])
    assert permute(offsets[:0], num, 5).tolist() == []


@pytest.mark.parametrize("num", [3, 4])
def test_all_permutations_are_equally_likely(num):
    keys = torch.arange(20_000).repeat_interleave(num)
    drawn = permute(torch.arange(num).repeat(20_000), num, keys).view(-1, num)
    codes = (drawn * num ** torch.arange(num)).sum(1).numpy()
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == math.factorial(num)
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize("num", [8, 11, 30, 64])
def test_every_index_is_as_likely_at_every_place(num):
    batch = 10_000
    drawn = (
        permute(
            torch.arange(num).repeat(batch),
            num,
            torch.arange(batch).repeat_interleave(num),
        )
        .view(-1, num)
        .numpy()
    )
    for place in range(num):
        assert (
            stats.chisquare(np.bincount(drawn[:, place], minlength=num)).pvalue > 1e-6
        )
    following = np.bincount(
        (drawn[:, 1:] - drawn[:, :-1]).flatten() % num, minlength=num
    )[1:]
    assert stats.chisquare(following).pvalue > 1e-5


@pytest.mark.parametrize("block", [None, 1, 2, 5, 32, 10_000])
@pytest.mark.parametrize("num", SIZES)
def test_every_epoch_is_a_permutation(num, block):
    stream = Stream(num, seed=3, block_samples=block)
    drawn = stream.indices(torch.arange(4 * num)).view(4, num)
    for epoch in drawn:
        assert epoch.sort().values.tolist() == list(range(num))
    if num >= 97:
        assert len({tuple(epoch.tolist()) for epoch in drawn}) == 4
        assert not torch.equal(
            drawn[0], Stream(num, 4, block).indices(torch.arange(num))
        )


@pytest.mark.parametrize(("num", "block"), [(11, None), (11, 3), (18, 4)])
def test_seeds_give_unrelated_orders(num, block):
    drawn = np.stack(
        [
            Stream(num, seed, block).indices(torch.arange(num)).numpy()
            for seed in range(150)
        ]
    )
    for place in (0, 1, num // 2, num - 1):
        assert (
            stats.chisquare(np.bincount(drawn[:, place], minlength=num)).pvalue > 1e-5
        )
    assert len({tuple(order) for order in drawn.tolist()}) == 150


def test_epochs_are_unrelated():
    drawn = Stream(5000, 0).indices(torch.arange(20_000)).view(4, 5000).double()
    correlation = torch.corrcoef(
        torch.cat([drawn, torch.arange(5000.0)[None].double()])
    )
    assert float((correlation - torch.eye(5)).abs().max()) < 5 / 5000**0.5


@pytest.mark.parametrize("block", [None, 64])
def test_order_is_a_function_of_position(block):
    stream = Stream(1000, 1, block)
    whole = stream.indices(torch.arange(3500))
    assert torch.equal(
        stream.indices(torch.arange(990, 2010)), whole[990:2010]
    )  # across two seams
    shuffled = torch.randperm(3500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stream.indices(shuffled), whole[shuffled])
    assert [
        int(stream.indices(torch.tensor([at]))) for at in (0, 999, 1000, 3499)
    ] == whole[[0, 999, 1000, 3499]].tolist()


@pytest.mark.parametrize("block", [None, 256])
@pytest.mark.parametrize("num", [1, 1_281_167, 10**9 + 7, (1 << 40) - 1, 1 << 40])
def test_far_positions_and_huge_data(num, block):
    stream = Stream(num, 0, block)
    first = 10**12 - 100
    drawn = stream.indices(
        torch.arange(first, first + 4096)
        if num > 1
        else torch.arange(first, first + 64)
    )
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < num
    if num > 4096:
        assert len(drawn.unique()) > 4096 - 20  # two epochs may meet in the range
    if num > 10**9 and block is None:
        assert abs(float(drawn.double().mean()) / num - 0.5) < 0.03


def test_far_epoch_is_still_a_permutation():
    drawn = Stream(97, 0).indices(torch.arange(97) + 97 * 10**10)
    assert drawn.sort().values.tolist() == list(range(97))


def test_blocks_keep_neighbours_together():
    num, block = 100_000, 64
    positions = torch.arange(20_000)
    shuffled = Stream(num, 0).indices(positions)
    blocked = Stream(num, 0, block, window_blocks=16).indices(positions)
    window = (
        block * 16
    )  # what is read from disk for this many samples: 16 or 17 runs of 64, not 1,000 places

    def blocks_touched(order):
        return np.mean(
            [
                len((part // block).unique())
                for part in order[: window * 19].split(window)
            ]
        )

    assert blocks_touched(blocked) < 40
    assert blocks_touched(shuffled) > 700
    near_full = float((shuffled.sort().values.diff() == 1).double().mean())
    near_block = float((blocked.sort().values.diff() == 1).double().mean())
    assert near_block > 0.95 > near_full
    # Within a window the samples are shuffled: neighbours in the stream are not neighbours on disk.
    assert float((blocked.diff().abs() <= 1).double().mean()) < 0.01
    # And blocks come in no order.
    starts = blocked[: window * 19].view(19, window).double().mean(1)
    assert (
        abs(
            float(
                torch.corrcoef(torch.stack([starts, torch.arange(19.0).double()]))[0, 1]
            )
        )
        < 0.75
    )


def test_block_borders_move_every_epoch():
    num, block = 10_000, 64
    together = []
    for epoch in range(4):
        order = Stream(num, 0, block, window_blocks=16).indices(
            torch.arange(num) + epoch * num
        )
        window = {
            index: place // (16 * block) for place, index in enumerate(order.tolist())
        }
        together.append(
            {index for index in range(num - 1) if window[index] != window[index + 1]}
        )
    assert all(
        len(one & other) < 0.3 * len(one)
        for one, other in itertools.combinations(together, 2)
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"num_samples": 0},
        {"num_samples": MAX_SAMPLES + 1},
        {"num_samples": 5, "block_samples": 0},
    ],
)
def test_bad_sizes(bad):
    with pytest.raises(ValueError, match=r"must be .*, got \d+"):
        Stream(seed=0, **bad)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
@pytest.mark.parametrize("start_step", [0, 2, 10**10])
def test_ranks_share_a_step_whatever_their_number(world_size, accumulation, start_step):
    total, num_steps = 48, start_step + 3
    each = total // world_size // accumulation
    readers = [
        MicroBatches(total, each, num_steps, start_step, rank, world_size)
        for rank in range(world_size)
    ]
    assert all(
        len(reader) == 3 * accumulation == len(list(reader)) for reader in readers
    )
    assert all(reader.accumulation == accumulation for reader in readers)
    micro = list(zip(*readers, strict=True))
    for step in range(3):
        parts = [
            part
            for row in micro[step * accumulation : (step + 1) * accumulation]
            for part in row
        ]
        assert all(len(part) == each for part in parts)
        consumed = list(itertools.chain.from_iterable(parts))
        assert consumed == list(
            range((start_step + step) * total, (start_step + step + 1) * total)
        )


def test_nothing_is_left_when_training_is_done():
    done = MicroBatches(48, 24, num_steps=5, start_step=5)
    assert len(done) == 0
    assert list(done) == []
    assert len(MicroBatches(48, 24, num_steps=5, start_step=7)) == 0


def test_a_resumed_reader_continues():
    whole = list(MicroBatches(12, 3, 6, rank=1, world_size=2))
    assert (
        whole[:4] + list(MicroBatches(12, 3, 6, start_step=2, rank=1, world_size=2))
        == whole
    )
