"""Early stopping through the resolvent: gradient flow from 0 as a short sum of ridge fits at complex ridges."""

import cmath
import math

_NODES = 20


def flow_nodes(train_time: float) -> list[tuple[complex, complex]]:
    """(amount, shift) such that b(t) = 2 Re sum amount inv(H + shift) g solves db/dt = g - H b from b(0) = 0.

    train_time inf gives the fit itself, [(1, 0)]. Only the upper half of the contour is listed; the first shift lies
    nearest the positive axis, and each one near the last.
    Source: L[b](s) = inv(s + H) g / s, inverted on the parabola of Weideman and Trefethen 2007 (Parabolic and
    hyperbolic contours for computing the Bromwich integral), eq. 2.17; error about 2.85^-20.
    """
    if math.isinf(train_time):
        return [(1.0, 0.0)]
    nodes = []
    for index in range(_NODES // 2):
        angle = (2 * index + 1) * math.pi / _NODES
        shift = (
            _NODES / train_time * complex(0.1309 - 0.1194 * angle**2, 0.2500 * angle)
        )
        slope = _NODES / train_time * complex(-2 * 0.1194 * angle, 0.2500)
        nodes.append(
            (cmath.exp(shift * train_time) * slope / (1j * _NODES * shift), shift)
        )
    return nodes
