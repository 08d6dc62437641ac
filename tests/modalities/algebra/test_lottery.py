"""The closed form of the lottery, against integration of its equations."""

import numpy as np
import pytest

from r2mae.modalities.algebra.group import open_group
from r2mae.modalities.algebra.irreps import components_of
from r2mae.modalities.algebra.lottery import (
    _add_gradient,
    blow_up_times,
    flow_winners,
    growth,
    waves,
)
from r2mae.modalities.algebra.spectrum import Neurons

TRIADS = {2: (0, 1, 2)}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def grow(functions, group, until):
    """Weights (3, N, M) after gradient flow on E until a norm exceeds `until`, and time."""
    time, scale = 0.0, 2 / len(group) ** 2
    while np.abs(functions).max() < until:
        gradient = np.zeros_like(functions)
        _add_gradient(group, functions, (0, 1, 2), gradient)
        step = 4e-3 * np.abs(functions).max() / (scale * np.abs(gradient).max())
        middle = functions + step / 2 * scale * gradient
        gradient = np.zeros_like(functions)
        _add_gradient(group, middle, (0, 1, 2), gradient)
        functions = functions + step * scale * gradient
        time += step
    return functions, time


@pytest.mark.parametrize("seed", range(4))
def test_blow_up_time_is_that_of_the_integrated_flow(seed):
    group, component = open_group("Z5"), components_of("Z5")[1]
    basis = component.basis
    start = np.einsum("nd,fdm->fnm", basis, draw(3, 2, 1, seed=seed))
    end, time = grow(start, group, 1e3)
    remaining = blow_up_times([component], end)[0, 0]
    assert remaining < 1e-2 * time
    assert time == pytest.approx(blow_up_times([component], start)[0, 0], rel=0.01)


def test_phases_align_at_the_derived_rate():
    group, component = open_group("Z7"), components_of("Z7")[2]
    start = np.einsum("nd,fdm->fnm", component.basis, draw(3, 2, 6))
    gradient = np.zeros_like(start)
    _add_gradient(group, start, (0, 1, 2), gradient)
    step = 1e-6
    end = start + step * 2 / 49 * gradient
    first, second, product = waves(component, start)
    after = waves(component, end)
    before = np.angle(first * second * product.conj())
    moved = np.angle(after[0] * after[1] * after[2].conj())
    slope = np.log(np.tan(np.abs(moved) / 2) / np.tan(np.abs(before) / 2)) / step
    r1, r2, r3 = np.abs([first, second, product])
    rate = -growth(component) * (r2 * r3 / r1 + r1 * r3 / r2 + r1 * r2 / r3)
    assert np.allclose(slope, rate, rtol=1e-3)


@pytest.mark.parametrize("name", ["Z9", "Z2xZ4"])
def test_the_closed_form_names_the_winner_of_the_flow(name):
    """Z2xZ4 has real characters too, whose phases are 0 or pi."""
    group, components = open_group(name), components_of(name)[1:]
    start = draw(3, len(group), 40)
    times = blow_up_times(components, start)
    neurons = Neurons(start, TRIADS, components)
    agree = times.argmin(axis=0) == flow_winners(group, neurons)
    ratios = np.sort(times, axis=0)[1] / times.min(axis=0)
    assert agree[ratios > 1.05].all()
    assert agree.mean() > 0.9


def test_a_planted_winner_of_a_group_that_is_not_abelian_wins():
    group, components = open_group("S4"), components_of("S4")[1:]
    start = 0.05 * draw(3, 24, 4)
    for neuron in range(4):
        basis = components[neuron].basis
        start[:, :, neuron] += basis[:, 0] * np.sign(draw(1, seed=neuron))
        a, b = start[0, :, neuron], start[1, :, neuron]
        pairs = group.table[group.inverses]
        start[2, :, neuron] += basis @ (basis.T @ (a @ b[pairs]))
    winners = flow_winners(group, Neurons(start, TRIADS, components))
    assert winners.tolist() == [0, 1, 2, 3]


def test_the_gradient_is_that_of_the_triple_sum():
    group = open_group("S3")
    start = draw(3, 6, 2)
    gradient = np.zeros_like(start)
    _add_gradient(group, start, (0, 1, 2), gradient)

    def triple(functions):
        a, b, c = functions
        return np.einsum("gm,hm,ghm->m", a, b, c[group.table])

    for place in np.ndindex(3, 6):
        moved = start.copy()
        moved[place] += 1e-6
        slope = (triple(moved) - triple(start)) / 1e-6
        assert np.allclose(slope, gradient[place], atol=1e-4)
