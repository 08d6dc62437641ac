"""Fourier read-outs: against direct sums, and where their values are known."""

import numpy as np
import pytest

from r2mae.modalities.algebra.group import open_group
from r2mae.modalities.algebra.irreps import components_of
from r2mae.modalities.algebra.spectrum import (
    Neurons,
    alignment,
    energies,
    fourier,
    rank_one_share,
    triple_sum,
)
from r2mae.modalities.algebra.uniformity import histogram_p, phase_p, phases_p

GROUPS = ["Z7", "Z8", "D4", "S4", "Q8", "Z3xS3"]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("name", GROUPS)
def test_energies_add_up_to_the_squared_norm(name):
    functions = draw(len(open_group(name)), 5)
    parts = energies(components_of(name), functions)
    assert np.allclose(parts.sum(axis=0), np.square(functions).sum(axis=0))


@pytest.mark.parametrize("name", GROUPS)
def test_triple_sums_of_components_add_up_to_the_direct_sum(name):
    table = open_group(name).table
    first, second, product = draw(3, len(table), 4)
    direct = np.einsum("gm,hm,ghm->m", first, second, product[table])
    components = components_of(name)
    parts = [triple_sum(one, first, second, product) for one in components]
    assert np.allclose(np.sum(parts, axis=0), direct)


@pytest.mark.parametrize("name", GROUPS)
def test_alignment_is_at_most_1_and_reaches_it(name):
    """Alternating maximisation of T over functions of norm 1 in a component."""
    table = open_group(name).table
    inverses = open_group(name).inverses
    for component in components_of(name)[1:]:
        basis = component.basis
        a, b, c = (basis @ draw(basis.shape[1], 20, seed=s) for s in range(3))
        assert (np.abs(alignment(component, a, b, c)) < 1 + 1e-9).all()
        for _ in range(200):
            a = np.einsum("hm,ghm->gm", b, c[table])
            b = np.einsum("gm,ghm->hm", a, c[table])
            c = np.einsum("gm,gkm->km", a, b[table[inverses]])
            a, b, c = (one / np.linalg.norm(one, axis=0) for one in (a, b, c))
        assert alignment(component, a, b, c).max() == pytest.approx(1, abs=1e-6)
        best = alignment(component, a, b, c) > 1 - 1e-6
        assert np.allclose(rank_one_share(component, a)[best], 1, atol=1e-3)


def test_alignment_of_cyclic_groups_is_the_cosine_of_the_phases():
    component = components_of("Z11")[3]
    angles = 2 * np.pi * 3 * np.arange(11) / 11
    phases = 0.3, 1.1, 0.6
    a, b, c = (np.cos(angles + phase)[:, None] for phase in phases)
    assert alignment(component, a, b, c)[0] == pytest.approx(np.cos(0.8))
    assert np.angle(fourier(component, a)[0, 0, 0]) == pytest.approx(0.3)


def planted(name, count, seed=0):
    """Neurons with one aligned random component each, and which."""
    draw_from = np.random.default_rng(seed)
    components = components_of(name)[1:]
    angles = 2 * np.pi * np.arange(len(open_group(name))) / len(open_group(name))
    winners = draw_from.integers(len(components), size=count)
    phases = draw_from.uniform(0, 2 * np.pi, size=(2, count))
    phases = np.concatenate([phases, phases.sum(axis=0, keepdims=True)])
    turns = np.multiply.outer(angles, winners + 1)
    functions = np.cos(turns + phases[:, None])
    return Neurons(functions, {2: (0, 1, 2)}, components), winners


def test_planted_neurons_are_read_out():
    neurons, winners = planted("Z13", 60)
    assert np.array_equal(neurons.winners, winners)
    assert np.allclose(neurons.winning_shares, 1)
    assert np.allclose(neurons.alignments, 1)
    assert np.allclose(neurons.rank_one_shares, 1)
    assert np.allclose(neurons.winners_only(), neurons.functions)


def test_uniform_winners_and_phases_pass_and_others_do_not():
    neurons, winners = planted("Z13", 600)
    assert histogram_p(neurons) > 0.01
    few = neurons.functions[:, :, winners < 3]
    assert histogram_p(Neurons(few, neurons.triads, neurons.components)) < 1e-6
    assert phases_p(neurons) > 0.01
    turns = 2 * np.pi * np.arange(13)[:, None] / 13
    shifted = np.cos(draw(1, 200, seed=1) * 0.5 + turns)
    assert phase_p(components_of("Z13")[1], shifted) < 1e-6


def test_an_even_spread_counts_the_basis_functions_of_a_component():
    """S3: the sign has one, the irrep of dimension 2 has four."""
    components = components_of("S3")[1:]
    columns = [components[0].basis[:, :1]] * 20 + [components[1].basis[:, :1]] * 80
    functions = np.stack([np.concatenate(columns, axis=1)] * 3)
    assert histogram_p(Neurons(functions, {2: (0, 1, 2)}, components)) == 1
    equal = functions[:, :, 0:40]
    assert histogram_p(Neurons(equal, {2: (0, 1, 2)}, components)) < 1e-3


def test_p_values_of_uniform_phases_are_uniform():
    values = [phases_p(planted("Z13", 300, seed=s)[0]) for s in range(100)]
    assert 0.35 < np.mean(values) < 0.65
