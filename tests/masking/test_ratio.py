import numpy as np
import pytest
import torch
from scipy import stats

from r2mae.law import (
    FixedRatio,
    LinearSchedule,
    MaskLaw,
    StepwiseSchedule,
    UniformRatio,
)
from r2mae.masking.ratio import draw_ratios, draw_step_ratio

UNIFORM = UniformRatio(0.6, 0.9)
POSITIONS = torch.arange(20_000)


def level_counts(law, drawn):
    levels = law.table(0.0)
    at = np.searchsorted(levels, drawn)
    assert np.array_equal(levels[at], drawn)  # exactly the table's float64
    return np.bincount(at, minlength=len(levels))


@pytest.mark.parametrize("num_levels", [2, 3, 8, 64])
@pytest.mark.parametrize("seed", [0, 123])
def test_every_level_equally_often(num_levels, seed):
    law = MaskLaw(UNIFORM, num_levels, "sample")
    steps = np.array([draw_step_ratio(law, seed, step, 0.0) for step in range(20_000)])
    samples = draw_ratios(law, seed, 0, 0.0, POSITIONS).numpy()
    for drawn in (steps, samples):
        counts = level_counts(law, drawn)
        assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
        pairs = np.searchsorted(law.table(0.0), drawn)
        following = np.corrcoef(pairs[:-1], pairs[1:])[0, 1]
        assert abs(following) * len(drawn) ** 0.5 < 4.5


def test_scope_step_is_one_draw():
    law = MaskLaw(UNIFORM, 8, "step")
    seen = set()
    for step in range(50):
        ratios = draw_ratios(law, 3, step, 0.0, POSITIONS[step : step + 32])
        assert ratios.dtype == torch.float64
        assert ratios.tolist() == [draw_step_ratio(law, 3, step, 0.0)] * 32
        seen.add(ratios[0].item())
    assert len(seen) == 8


def test_scope_step_does_not_look_at_positions():
    law = MaskLaw(UNIFORM, 8, "step")
    assert draw_ratios(law, 3, 5, 0.0, torch.tensor([7])) == draw_ratios(
        law, 3, 5, 0.0, torch.tensor([10**12])
    )


def test_scope_sample_is_a_function_of_position():
    law = MaskLaw(UNIFORM, 8, "sample")
    ratios = draw_ratios(law, 3, 0, 0.0, POSITIONS[:100])
    assert len(ratios.unique()) == 8
    assert torch.equal(
        ratios, draw_ratios(law, 3, 99, 0.0, POSITIONS[:100])
    )  # not of the step
    assert torch.equal(
        ratios.flip(0)[:37], draw_ratios(law, 3, 0, 0.0, POSITIONS[:100].flip(0)[:37])
    )
    assert not torch.equal(ratios, draw_ratios(law, 4, 0, 0.0, POSITIONS[:100]))
    assert not torch.equal(ratios, draw_ratios(law, 3, 0, 0.0, POSITIONS[100:200]))


def test_step_and_sample_draws_are_unrelated():
    law = MaskLaw(UNIFORM, 64, "sample")
    steps = [draw_step_ratio(law, 0, step, 0.0) for step in range(5000)]
    samples = draw_ratios(law, 0, 0, 0.0, POSITIONS[:5000]).numpy()
    assert abs(np.corrcoef(steps, samples)[0, 1]) * 5000**0.5 < 4.5


@pytest.mark.parametrize("scope", ["step", "sample"])
def test_schedule_moves_the_draw(scope):
    law = MaskLaw(FixedRatio(0.2), 8, scope, LinearSchedule(FixedRatio(0.8)))
    for progress, ratio in ((0.0, 0.2), (0.5, 0.5), (1.0, 0.8)):
        drawn = draw_ratios(law, 0, 7, progress, POSITIONS[:4])
        assert torch.allclose(drawn, torch.full((4,), ratio, dtype=torch.float64))
    law = MaskLaw(
        UNIFORM, 8, scope, StepwiseSchedule((0.5,), (UniformRatio(0.1, 0.2),))
    )
    assert draw_ratios(law, 0, 7, 0.49, POSITIONS[:64]).min() > 0.6
    assert draw_ratios(law, 0, 7, 0.5, POSITIONS[:64]).max() < 0.2


def test_a_level_keeps_its_rank_while_the_schedule_moves():
    law = MaskLaw(UNIFORM, 8, "sample", LinearSchedule(UniformRatio(0.1, 0.2)))
    start, end = (
        draw_ratios(law, 0, 7, progress, POSITIONS[:256]) for progress in (0.0, 1.0)
    )
    assert torch.equal(start.argsort(stable=True), end.argsort(stable=True))


def test_draws_touch_no_global_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    law = MaskLaw(UNIFORM, 8, "sample")
    first = draw_ratios(law, 3, 0, 0.0, POSITIONS)
    torch.manual_seed(1)
    assert torch.equal(first, draw_ratios(law, 3, 0, 0.0, POSITIONS))
    torch.manual_seed(0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("num_levels", [1, 2, 8])
def test_stratified_groups_hold_every_level_once(num_levels):
    law = MaskLaw(UNIFORM, num_levels, "stratified")
    ratios = draw_ratios(law, 3, 0, 0.0, POSITIONS[: 500 * num_levels]).numpy()
    groups = ratios.reshape(500, num_levels)
    assert np.array_equal(np.sort(groups, axis=1), np.tile(law.table(0.0), (500, 1)))


def test_stratified_order_is_random_in_each_group():
    law = MaskLaw(UNIFORM, 4, "stratified")
    ratios = draw_ratios(law, 3, 0, 0.0, POSITIONS).numpy().reshape(-1, 4)
    first = level_counts(law, ratios[:, 0])
    assert 1e-4 < stats.chisquare(first).pvalue < 1 - 1e-4
    orders = np.unique(ratios, axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert 1e-4 < stats.chisquare(orders).pvalue < 1 - 1e-4


def test_stratified_is_a_function_of_seed_and_position():
    law = MaskLaw(UNIFORM, 8, "stratified")
    ratios = draw_ratios(law, 3, 0, 0.0, POSITIONS[:96])
    shuffled = torch.randperm(96)
    assert torch.equal(
        ratios[shuffled], draw_ratios(law, 3, 7, 0.0, POSITIONS[shuffled])
    )
    assert not torch.equal(ratios, draw_ratios(law, 4, 0, 0.0, POSITIONS[:96]))
