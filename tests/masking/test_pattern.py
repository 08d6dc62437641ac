import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import (
    PATTERNS,
    Role,
    count_masked,
    is_token_of,
    sample_mask,
)

GRIDS = [
    (2,),
    (3,),
    (7,),
    (64,),
    (1, 5),
    (5, 1),
    (2, 2),
    (3, 5),
    (8, 8),
    (14, 14),
    (2, 50),
]
RATIOS = [1e-12, 0.01, 0.25, 0.5, 0.6, 0.75, 0.999, 1 - 1e-12]


def ratios(value, batch):
    return torch.full((batch,), value, dtype=torch.float64)


def all_eligible(batch, grid):
    return torch.ones(batch, math.prod(grid), dtype=torch.bool)


def test_counts_are_rounded_half_up():
    rng = random.Random(0)
    cases = [
        (num, Fraction(k, 64))
        for num in (2, 3, 4, 8, 10, 31, 32, 64, 196)
        for k in range(1, 64)
    ]
    cases += [
        (
            rng.randrange(2, 1 << rng.randrange(2, 31)),
            Fraction(rng.random()) or Fraction(1, 2),
        )
        for _ in range(3000)
    ]
    counts = count_masked(
        torch.tensor([num for num, _ in cases]),
        torch.tensor([float(ratio) for _, ratio in cases], dtype=torch.float64),
    )
    for (num, ratio), count in zip(cases, counts.tolist(), strict=True):
        digits = Fraction(
            round(ratio * 2**32), 2**32
        )  # what count_masked reads of the ratio
        assert count == min(max(math.floor(digits * num + Fraction(1, 2)), 1), num - 1)
        assert abs(count - ratio * num) <= Fraction(1, 2) + Fraction(
            num, 2**33
        ) or count in (1, num - 1)


@pytest.mark.parametrize(
    ("num", "ratio", "count"),
    [(10, 0.25, 3), (10, 0.75, 8), (2, 0.5, 1), (6, 0.25, 2), (196, 0.75, 147)],
)
def test_halves_go_up(num, ratio, count):
    assert count_masked(torch.tensor([num]), ratios(ratio, 1)).tolist() == [count]


def test_counts_leave_one_on_each_side():
    for num in range(40):
        for ratio in RATIOS:
            count = int(count_masked(torch.tensor([num]), ratios(ratio, 1)))
            assert (1 <= count <= num - 1) if num >= 2 else count == 0


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("grid", GRIDS)
def test_exactly_k_of_the_eligible(pattern, grid):
    num = math.prod(grid)
    generator = torch.Generator().manual_seed(num)
    shares = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0] * 4)
    eligible = torch.rand(20, num, generator=generator) < shares[:, None]
    for ratio in RATIOS:
        mask = sample_mask(
            pattern, eligible, ratios(ratio, 20), 5, torch.arange(20), grid
        )
        expected = count_masked(eligible.sum(1), ratios(ratio, 20))
        assert torch.equal(mask.is_masked.sum(1), expected)
        assert not (mask.is_masked & ~eligible).any()
        enough = eligible.sum(1) >= 2
        assert (mask.is_masked.sum(1)[enough] >= 1).all()
        assert ((eligible & ~mask.is_masked).sum(1)[enough] >= 1).all()
        assert not mask.is_masked[~enough].any()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ratios_may_differ_between_rows(pattern):
    drawn = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    mask = sample_mask(
        pattern, all_eligible(3, (8, 8)), drawn, 0, torch.arange(3), (8, 8)
    )
    assert mask.is_masked.sum(1).tolist() == [6, 32, 58]


@pytest.mark.parametrize("pattern", ["random", "block"])
@pytest.mark.parametrize("grid", [(8, 8), (50,)])
def test_a_mask_is_a_function_of_seed_and_position(pattern, grid):
    positions = torch.cat([torch.arange(30), torch.tensor([10**12, 2**50])])

    def masks(at, seed=3):
        return sample_mask(
            pattern, all_eligible(len(at), grid), ratios(0.6, len(at)), seed, at, grid
        ).is_masked

    torch.manual_seed(0)
    whole = masks(positions)
    torch.manual_seed(1)
    order = torch.randperm(len(positions))
    assert torch.equal(masks(positions[order]), whole[order])
    for row, position in enumerate(positions):
        assert torch.equal(masks(position[None])[0], whole[row])
    assert len({tuple(row) for row in whole.tolist()}) == len(positions)
    assert not torch.equal(masks(positions, seed=4), whole)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_higher_ratio_hides_more_of_the_same(pattern):
    masks = [
        sample_mask(
            pattern, all_eligible(9, (8, 8)), ratios(r, 9), 0, torch.arange(9), (8, 8)
        ).is_masked
        for r in (0.2, 0.5, 0.8)
    ]
    assert (masks[0] <= masks[1]).all()
    assert (masks[1] <= masks[2]).all()


@pytest.mark.parametrize(("num", "count"), [(4, 2), (5, 1), (6, 3), (5, 4)])
def test_random_subsets_are_equally_likely(num, count):
    batch = 40_000
    positions = torch.arange(batch) + 10**12
    mask = sample_mask(
        "random",
        all_eligible(batch, (num,)),
        ratios(count / num, batch),
        1,
        positions,
        (num,),
    )
    codes = (mask.is_masked.long() << torch.arange(num)).sum(1).numpy()
    subsets = [
        sum(1 << place for place in chosen)
        for chosen in itertools.combinations(range(num), count)
    ]
    counts = np.bincount(codes, minlength=1 << num)
    assert counts.sum() == counts[subsets].sum()
    assert 1e-4 < stats.chisquare(counts[subsets]).pvalue < 1 - 1e-4


def test_random_subsets_avoid_what_is_not_eligible():
    eligible = all_eligible(30_000, (6,))
    eligible[:, [0, 3]] = False
    mask = sample_mask(
        "random", eligible, ratios(0.5, 30_000), 2, torch.arange(30_000), (6,)
    )
    codes = (mask.is_masked[:, [1, 2, 4, 5]].long() << torch.arange(4)).sum(1).numpy()
    assert (
        stats.chisquare(np.bincount(codes, minlength=16)[[3, 5, 6, 9, 10, 12]]).pvalue
        > 1e-4
    )


def equal_neighbours(is_masked, grid):
    rows, columns = (1, *grid)[-2:]
    image = is_masked.view(-1, rows, columns)
    pairs = [image[:, :, 1:] == image[:, :, :-1], image[:, 1:] == image[:, :-1]]
    return float(torch.cat([pair.flatten() for pair in pairs]).float().mean())


@pytest.mark.parametrize("grid", [(14, 14), (8, 8), (128,), (10, 20)])
@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.8])
def test_blocks_are_coherent(grid, ratio):
    block, scattered = (
        equal_neighbours(
            sample_mask(
                pattern,
                all_eligible(300, grid),
                ratios(ratio, 300),
                0,
                torch.arange(300),
                grid,
            ).is_masked,
            grid,
        )
        for pattern in ("block", "random")
    )
    assert abs(scattered - (ratio**2 + (1 - ratio) ** 2)) < 0.02
    assert block > scattered + 0.4 * (1 - scattered)


@pytest.mark.parametrize("grid", [(160,), (16, 16)])
def test_a_first_block_has_the_promised_area(grid):
    # At 1/32 hidden, the first rectangle (1/16 to 1/4 of the grid, up to rounding) mostly holds every hidden token:
    # only what hangs far over the border leaves some to the second.
    num = math.prod(grid)
    mask = sample_mask(
        "block",
        all_eligible(500, grid),
        ratios(1 / 32, 500),
        0,
        torch.arange(500),
        grid,
    ).is_masked
    rows, columns = (1, *grid)[-2:]
    extents = []
    for row in mask.view(-1, rows, columns):
        at = row.nonzero()
        extents.append((at.max(0).values - at.min(0).values + 1).prod().item() / num)
    assert np.quantile(extents, 0.75) <= 0.25 * 1.15
    assert (
        np.quantile(extents, 0.7) > 0.1
    )  # trimmed at random, so the bounding box shows most of the rectangle


def test_blocks_cover_the_whole_grid_alike():
    mask = sample_mask(
        "block",
        all_eligible(4000, (14, 14)),
        ratios(0.5, 4000),
        0,
        torch.arange(4000),
        (14, 14),
    )
    often = mask.is_masked.float().mean(0).view(14, 14)
    assert abs(float(often.mean()) - 0.5) < 1e-6
    for axis in (0, 1):  # no side is preferred
        profile = often.mean(axis)
        assert float((profile - profile.flip(0)).abs().max()) < 0.05
    assert (
        float(often.min()) > 0.02
    )  # corners too, though seldom: few rectangles reach them
    assert float(often.max()) < 0.95


@pytest.mark.parametrize("equal", [True, False])
def test_gather_indices_match_the_mask(equal):
    counts = [3, 3, 3, 3] if equal else [0, 1, 5, 9]
    is_masked = torch.zeros(4, 10, dtype=torch.bool)
    for row, count in enumerate(counts):
        is_masked[
            row,
            torch.randperm(10, generator=torch.Generator().manual_seed(row))[:count],
        ] = True
    mask = build_mask(is_masked)
    assert torch.equal(mask.is_masked, is_masked)
    assert (mask.masked_weight is None) == (mask.visible_weight is None) == equal
    assert mask.masked.shape == (4, max(counts))
    assert mask.visible.shape == (4, 10 - min(counts))
    for indices, weight, chosen in (
        (mask.masked, mask.masked_weight, is_masked),
        (mask.visible, mask.visible_weight, ~is_masked),
    ):
        assert indices.dtype == torch.int64
        for row in range(4):
            expected = chosen[row].nonzero()[:, 0].tolist()
            real = len(expected)
            assert indices[row, :real].tolist() == expected
            padding = indices[row, real:].tolist()
            if expected:
                assert padding == [expected[-1]] * len(padding)
            assert all(0 <= index < 10 for index in padding)
            if weight is not None:
                assert weight[row].tolist() == [True] * real + [False] * len(padding)


@pytest.mark.parametrize("hidden", [0, 10])
def test_gather_indices_at_the_extremes(hidden):
    is_masked = torch.zeros(2, 10, dtype=torch.bool)
    is_masked[:, :hidden] = True
    mask = build_mask(is_masked)
    assert mask.masked.shape == (2, hidden)
    assert mask.visible.shape == (2, 10 - hidden)
    assert mask.masked_weight is None


def test_unequal_rows_from_sampling_are_padded():
    drawn = torch.tensor([0.25, 0.75], dtype=torch.float64)
    mask = sample_mask(
        "random", all_eligible(2, (4, 4)), drawn, 0, torch.arange(2), (4, 4)
    )
    assert mask.masked.shape == mask.visible.shape == (2, 12)
    assert mask.masked_weight.sum(1).tolist() == [4, 12]
    assert mask.visible_weight.sum(1).tolist() == [12, 4]
    assert mask.visible_counts == (12, 4)


def test_a_column_is_hidden_in_all_samples_of_a_step():
    def draw(step, columns=None, length=40):
        eligible, drawn = torch.ones(6, length, dtype=torch.bool), ratios(0.3, 6)
        return sample_mask(
            "column",
            eligible,
            drawn,
            0,
            torch.arange(6),
            (length,),
            step=step,
            columns=columns,
        ).is_masked

    first = draw(0)
    assert (first == first[0]).all()
    assert torch.equal(first, draw(0))
    assert not torch.equal(first, draw(1))
    order = torch.stack([torch.randperm(40) for _ in range(6)])
    assert torch.equal(
        draw(0, order), first.gather(1, order)
    )  # by the column's name, wherever it stands
    shares = torch.stack([draw(step)[0] for step in range(3000)]).double().mean(dim=0)
    assert (shares - 0.3).abs().max() < 0.05


def test_without_gathering_there_are_no_indices():
    mask = sample_mask(
        "random",
        all_eligible(3, (20,)),
        ratios(0.5, 3),
        0,
        torch.arange(3),
        (20,),
        gather=False,
    )
    assert mask.visible.shape == mask.masked.shape == (3, 0)
    assert mask.is_masked.sum() == 30


@pytest.mark.parametrize("value", RATIOS)
def test_targets_are_always_masked_and_change_no_other_position(value):
    """A sample whose only predicted position is a target has one masked position."""
    only = torch.tensor([[Role.SEEN, Role.SEEN, Role.TARGET]] * 4, dtype=torch.int8)
    arguments = (ratios(value, 4), 0, torch.arange(4), (3,))
    mask = sample_mask("random", only, *arguments)
    assert mask.masked.tolist() == [[2]] * 4
    assert mask.visible.tolist() == [[0, 1]] * 4
    assert is_token_of(only).all()

    roles = torch.full((4, 8), Role.HIDEABLE, dtype=torch.int8)
    roles[:, 0] = Role.SEEN
    before = sample_mask("random", roles, ratios(value, 4), 0, torch.arange(4), (8,))
    roles[:, 0] = Role.TARGET
    after = sample_mask("random", roles, ratios(value, 4), 0, torch.arange(4), (8,))
    assert after.is_masked[:, 0].all()
    assert torch.equal(after.is_masked[:, 1:], before.is_masked[:, 1:])
