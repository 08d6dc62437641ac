"""Early stopping: gradient flow as a short sum of ridge fits with complex ridges."""

import cmath
import math

_NODES = 20  # on the contour; the error is about 2.85^-20


def flow_nodes(train_time: float) -> list[tuple[complex, complex]]:
    """(amount, shift) of the ridge fits that add up to gradient flow at train_time.

    b(t) = 2 Re sum amount inv(H + shift I) g solves db/dt = g - H b from b(0) = 0.
    train_time inf gives the converged fit, [(1, 0)]. Only the upper half of the contour
    is listed. The first shift is nearest to the positive axis and each is close to the
    one before, so that each solution is a good start for the next.

    Source: the Laplace transform of b is inv(s I + H) g / s, inverted on the parabola of
    Weideman and Trefethen 2007 (Parabolic and hyperbolic contours for computing the
    Bromwich integral), eq. 2.17.
    """
    if math.isinf(train_time):
        return [(1.0, 0.0)]
    nodes = []
    scale = _NODES / train_time
    for index in range(_NODES // 2):
        angle = (2 * index + 1) * math.pi / _NODES
        shift = scale * complex(0.1309 - 0.1194 * angle**2, 0.2500 * angle)
        slope = scale * complex(-2 * 0.1194 * angle, 0.2500)
        amount = cmath.exp(shift * train_time) * slope / (1j * _NODES * shift)
        nodes.append((amount, shift))
    return nodes
