"""Which component wins in a neuron, and how fast, from its initial weights.

Derived here for the quadratic activation. While outputs are small, softmax is uniform, and
the gradient of the cross-entropy is that of -E, where E is a sum over neurons of

    E = 2 / N^2 T(a, b, c),    T(a, b, c) = sum over g1, g2 of a(g1) b(g2) c(g1 g2)

over functions without their constant part (a, b: input weights, c: output weights). Only
the cross term 2 a b of (a + b)^2 remains: a^2 c and b^2 c have the mean of c as a factor,
which softmax removes. T is a sum over components, so components do not interact.

At a pair of one-dimensional irreps, let r1, r2, r3 be the norms of a, b, c in the component
and D = phase of a + phase of b - phase of c. With g = 2 / N^2 times the component's
`largest_product`, gradient flow is

    r1' = g r2 r3 cos D    r2' = g r1 r3 cos D    r3' = g r1 r2 cos D
    D'  = -g (r2 r3 / r1 + r1 r3 / r2 + r1 r2 / r3) sin D

(the explosive interaction of three waves). P = r1 r2 r3 sin D and the differences of the
squares are constant. So s = r1^2 obeys s' = +-2 g sqrt(s (s - c2) (s - c3) - P^2), which
is infinite after a finite time: Carlson's elliptic integral R_F of s - (each root), over
g. Where cos D < 0 at the start, s first falls to the largest root. The component of the
shortest time wins. d/dt log tan(|D| / 2) = -g (...) is the rate of alignment.

Shapes: N elements, M neurons, C components.
"""

from collections.abc import Sequence

import numpy as np

from r2mae.modalities.algebra.group import Group
from r2mae.modalities.algebra.irreps import Complexes, Component, Floats
from r2mae.modalities.algebra.spectrum import Neurons, energies, fourier

_STEPS = 400
_RELATIVE_STEP = 0.05


def waves(component: Component, functions: Floats) -> Complexes:
    """(3, M) norm and phase of functions (3, N, M) at a one-dimensional irrep."""
    coefficients = fourier(component, functions)[..., 0, 0]
    copies = 2 if component.type == "complex" else 1
    scaled: Complexes = coefficients * np.sqrt(copies / len(component.matrices))
    return scaled


def growth(component: Component) -> float:
    """The constant g of a component."""
    return 2 / len(component.matrices) ** 2 * component.largest_product


def blow_up_times(components: Sequence[Component], functions: Floats) -> Floats:
    """(C, M) time until a component is infinite, from weights (3, N, M) of a, b and c.

    components: of one-dimensional irreps.
    """
    rows = []
    for component in components:
        first, second, product = waves(component, functions)
        invariant = first * second * product.conj()
        norms = np.abs([first, second, product])
        times = [
            _time(norms[:, m] ** 2, invariant[m]) for m in range(functions.shape[2])
        ]
        rows.append(np.array(times) / growth(component))
    return np.stack(rows)


def _time(squares: Floats, invariant: complex) -> float:
    """Time for g = 1. squares: (3,) r^2. invariant: r1 r2 r3 exp(i D)."""
    from scipy.special import elliprf

    start = squares[0]
    cubic = np.poly([0.0, start - squares[1], start - squares[2]])
    cubic[3] -= invariant.imag**2
    roots = np.roots(cubic).astype(complex)
    upward = float(elliprf(*(start - roots)).real)
    if invariant.real >= 0:
        return upward
    is_real = np.abs(roots.imag) < 1e-6 * np.abs(roots).max()
    turning = roots[is_real].real.max()
    distances = turning - roots
    distances[np.abs(distances).argmin()] = 0  # exactly: R_F at the turning point
    return 2 * float(elliprf(*distances).real) - upward


def flow_winners(group: Group, start: Neurons) -> np.ndarray:
    """(M,) winners of the projected gradient flow, for any group and any hidden slot.

    Gradient ascent on E, each neuron at its own speed, which does not change its path.
    """
    state = start.functions - start.functions.mean(axis=1, keepdims=True)
    for _ in range(_STEPS):
        gradient = np.zeros_like(state)
        for places in start.triads.values():
            _add_gradient(group, state, places, gradient)
        speed = np.linalg.norm(gradient, axis=(0, 1)).clip(min=1e-300)
        state = state / np.linalg.norm(state, axis=(0, 1))
        state = state + _RELATIVE_STEP * gradient / speed
    winners: np.ndarray = energies(start.components, state).sum(axis=0).argmax(axis=0)
    return winners


def _add_gradient(
    group: Group, state: Floats, places: tuple[int, int, int], gradient: Floats
) -> None:
    """Add the gradient of T(a, b, c) at places (a, b, c) of a state (F, N, M)."""
    first, second, product = (state[place] for place in places)
    # g2 = g1^-1 times the product
    quotients = group.table[group.inverses]
    gradient[places[0]] += np.einsum("hm,ghm->gm", second, product[group.table])
    gradient[places[1]] += np.einsum("gm,ghm->hm", first, product[group.table])
    gradient[places[2]] += np.einsum("gm,gkm->km", first, second[quotients])
