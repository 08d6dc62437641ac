"""Exponential rates of phase alignment: those of gradient descent, and the derived ones.

Shapes: T triples, N elements, M neurons, C components, S steps.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from r2mae.modalities.algebra.irreps import Complexes, Component, Floats
from r2mae.modalities.algebra.lottery import blow_up_times, growth, waves
from r2mae.modalities.algebra.spectrum import Neurons

_STEPS = 200
_WINDOW = 0.6  # of the shortest time in which a neuron's winner is infinite


def measure_rates(model: Any, neurons: Neurons) -> dict[str, Floats]:
    """Slopes (M,) of log tan(|D| / 2) of the component that the closed form names.

    measured: of gradient descent on the cross-entropy of all triples, from the weights
    given. derived: of the three waves. Both by least squares over the same times, until
    60 % of the shortest blow-up time, as softmax is no longer uniform at the end of it.
    """
    places = list(neurons.triads[2])
    start = neurons.functions[places]
    times = blow_up_times(neurons.components, start)
    winners = times.argmin(axis=0)
    step = _WINDOW * times.min() / _STEPS
    states = _descend(model, start, float(step))
    measured = np.empty((_STEPS + 1, len(winners)))
    derived = np.empty_like(measured)
    for number in np.unique(winners):
        chosen = np.flatnonzero(winners == number)
        component = neurons.components[number]
        at_start = waves(component, start[:, :, chosen])
        path = _integrate(at_start, growth(component), float(step))
        derived[:, chosen] = _log_misalignment(path)
        for time, state in enumerate(states):
            here = waves(component, state[:, :, chosen])
            measured[time, chosen] = _log_misalignment(here[None])[0]
    clock = step * np.arange(_STEPS + 1)
    return {"measured": _slopes(clock, measured), "derived": _slopes(clock, derived)}


def _descend(model: Any, start: Floats, step: float) -> list[Floats]:
    """Weights (3, N, M) after 0, 1, ... steps of gradient descent in float64."""
    weights = torch.from_numpy(start.copy()).requires_grad_()
    triples = model.curve.triples.cpu()
    states = [start]
    for _ in range(_STEPS):
        first, second, product = weights.unbind()
        hidden = (first[triples[:, 0]] + second[triples[:, 1]]).square()
        loss = F.cross_entropy(hidden @ product.T, triples[:, 2])
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - step * gradient).detach().requires_grad_()
        states.append(weights.detach().numpy())
    return states


def _integrate(start: Complexes, rate: float, step: float) -> Complexes:
    """(S + 1, 3, M) three waves from start (3, M), by Runge-Kutta of order 4."""

    def slope(state: Complexes) -> Complexes:
        a, b, c = state
        waves = np.stack([b.conj() * c, a.conj() * c, a * b])
        return np.asarray(rate * waves, dtype=np.complex128)

    states = [start]
    for _ in range(_STEPS):
        state = states[-1]
        k1 = slope(state)
        k2 = slope(state + step / 2 * k1)
        k3 = slope(state + step / 2 * k2)
        k4 = slope(state + step * k3)
        states.append(state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return np.stack(states)


def _log_misalignment(states: Complexes) -> Floats:
    """(S, M) log tan(|D| / 2) of three waves (S, 3, M)."""
    angles = np.angle(states[:, 0] * states[:, 1] * states[:, 2].conj())
    logs: Floats = np.log(np.tan(np.abs(angles) / 2).clip(min=1e-12))
    return logs


def _slopes(clock: Floats, values: Floats) -> Floats:
    """(M,) least-squares slopes of values (S, M)."""
    centred = clock - clock.mean()
    slopes: Floats = centred @ values / (centred @ centred)
    return slopes


def is_complex(components: tuple[Component, ...]) -> bool:
    """Whether every component is a pair of one-dimensional irreps, which has a phase."""
    return all(one.dimension == 1 and one.type == "complex" for one in components)
