"""Tests of the winners' frequencies and phases against uniform distributions.

Shapes: N elements, M neurons, D dimension of a component.
"""

import numpy as np

from r2mae.modalities.algebra.irreps import Component, Floats
from r2mae.modalities.algebra.spectrum import Neurons


def histogram_p(neurons: Neurons) -> float:
    """p-value of the chi-square test that neurons spread evenly over the components.

    Evenly: by the number of basis functions of a component. For Z_n of odd order each
    frequency has two, so that all are equally frequent; an irrep of dimension d has d^2.
    """
    from scipy.stats import chisquare

    sizes = np.array([one.basis.shape[1] for one in neurons.components])
    if len(sizes) < 2:
        return 1.0
    counts = np.bincount(neurons.winners, minlength=len(sizes))
    expected = sizes / sizes.sum() * counts.sum()
    return float(chisquare(counts, expected).pvalue)


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
