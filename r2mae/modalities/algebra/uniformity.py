"""Tests of the winners' frequencies and phases against uniform distributions.

Shapes: N elements, M neurons, D dimension of a component.
"""

import numpy as np

from r2mae.modalities.algebra.irreps import Component, Floats
from r2mae.modalities.algebra.spectrum import Integers, Neurons


def histogram_p(winners: Integers, num_components: int) -> float:
    """p-value of the chi-square test that each component wins equally many neurons."""
    from scipy.stats import chisquare

    if num_components < 2:
        return 1.0
    counts = np.bincount(winners, minlength=num_components)
    return float(chisquare(counts).pvalue)


def phase_p(component: Component, functions: Floats) -> float:
    """p-value of a Rayleigh test of functions (N, M) in a component.

    Coordinates of norm 1 in the component's basis, (M, D). A distribution that
    translations from both sides do not change (Haar) has mean 0 and covariance 1 / D,
    as the component is irreducible under both. Then D M |mean|^2 is chi-square with D
    degrees of freedom for many neurons. For Z_n this is Rayleigh's test of the phases.

    Source: Rayleigh 1919; Mardia and Jupp 2000, 10.4.1, for spheres.
    """
    from scipy.stats import chi2

    coordinates = component.basis.T @ functions
    norms = np.linalg.norm(coordinates, axis=0)
    dimension, count = coordinates.shape
    mean = (coordinates / norms.clip(min=1e-300)).mean(axis=1)
    return float(chi2.sf(dimension * count * mean @ mean, dimension))


def phases_p(neurons: Neurons) -> float:
    """p-value that every winning component's output phases are uniform.

    Fisher's combination over components; the output is the last function.

    Source: Fisher 1925, for the combination.
    """
    from scipy.stats import combine_pvalues

    values = []
    for number in np.unique(neurons.winners):
        chosen = neurons.winners == number
        outputs = neurons.functions[-1][:, chosen]
        values.append(phase_p(neurons.components[number], outputs))
    return float(combine_pvalues(np.maximum(values, 1e-300)).pvalue)
