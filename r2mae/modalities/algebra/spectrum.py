"""Fourier read-outs of a network's neurons over any finite group.

f^(rho) = sum over g of f(g) rho(g)^*, so that f(g) = 1/N sum over rho of d tr(rho(g) f^).
Inserted into T(a, b, c) = sum over g1, g2 of a(g1) b(g2) c(g1 g2), for real functions:

    T(a, b, c) = 1/N sum over rho of d tr(a^(rho)^* b^(rho)^* c^(rho))

No product of two components enters, so each component of a neuron has its own energy.

Shapes: N elements, M neurons, F functions, C non-constant components, d of an irrep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from r2mae.modalities.algebra.irreps import Complexes, Component, Floats

Integers = npt.NDArray[np.int64]


def fourier(component: Component, functions: Floats) -> Complexes:
    """(..., M, d, d) coefficients of functions (..., N, M) at an irrep."""
    adjoint = component.matrices.conj().transpose(0, 2, 1)
    coefficients: Complexes = np.einsum("...nm,nij->...mij", functions, adjoint)
    return coefficients


def energies(components: Sequence[Component], functions: Floats) -> Floats:
    """(..., C, M) squared norms of functions (..., N, M) in each component."""
    rows = [
        np.square(np.einsum("nd,...nm->...dm", one.basis, functions)).sum(axis=-2)
        for one in components
    ]
    return np.stack(rows, axis=-2)


def triple_sum(
    component: Component, first: Floats, second: Floats, product: Floats
) -> Floats:
    """(M,) T(a, b, c) of functions (N, M), restricted to a component."""
    a, b, c = (fourier(component, one) for one in (first, second, product))
    traces = np.einsum("mji,mkj,mki->m", a.conj(), b.conj(), c).real
    copies = 2 if component.type == "complex" else 1
    sums: Floats = copies * component.dimension / len(component.matrices) * traces
    return sums


def alignment(
    component: Component, first: Floats, second: Floats, product: Floats
) -> Floats:
    """(M,) T(a, b, c) over its largest value for functions of these norms, in [-1, 1].

    For Z_n it is cos(phase of a + phase of b - phase of c). |tr(ABC)| is at most the
    product of the Frobenius norms, with equality for A = u v^*, B = v w^*, C = w u^*
    alone: aligned coefficients have rank one. Real functions have coefficients whose
    singular values come in equal pairs at a quaternionic irrep, and two irreps at a
    complex pair. Both divide the largest value by the square root of 2.
    """
    norms = [np.sqrt(energies([component], one)[0]) for one in (first, second, product)]
    largest = component.largest_product * np.prod(norms, axis=0)
    sums = triple_sum(component, first, second, product)
    cosines: Floats = sums / np.maximum(largest, np.finfo(float).tiny)
    return cosines


def rank_one_share(component: Component, function: Floats) -> Floats:
    """(M,) share of the largest singular value in the coefficients' squared norm.

    Twice that for a quaternionic irrep, whose singular values come in pairs.
    """
    values = np.linalg.svd(fourier(component, function), compute_uv=False)
    squares = np.square(values)
    copies = 2 if component.type == "quaternionic" else 1
    shares: Floats = copies * squares[:, 0] / squares.sum(axis=1).clip(min=1e-300)
    return shares


@dataclass(frozen=True)
class Neurons:
    """Weights of a two-layer network as functions on the group.

    functions: (F, N, M). components: those that are not constant.
    triads: {hidden slot: places in functions of the weights of g1, g2 and product}.
    """

    functions: Floats
    triads: dict[int, tuple[int, int, int]]
    components: tuple[Component, ...]

    @cached_property
    def shares(self) -> Floats:
        """(C, M) of each neuron's energy, over all its functions, by component."""
        total = energies(self.components, self.functions).sum(axis=0)
        shares: Floats = total / total.sum(axis=0).clip(min=1e-300)
        return shares

    @cached_property
    def winners(self) -> Integers:
        """(M,) component with most of a neuron's energy."""
        winners: Integers = self.shares.argmax(axis=0)
        return winners

    @property
    def winning_shares(self) -> Floats:
        """(M,) energy in the winning component."""
        shares: Floats = self.shares.max(axis=0)
        return shares

    @cached_property
    def alignments(self) -> Floats:
        """(H, M) cosines in the winning component, for each hidden slot."""
        cosines = np.zeros((len(self.triads), self.functions.shape[2]))
        for row, places in enumerate(self.triads.values()):
            for number, chosen in self._by_winner():
                parts = self.functions[:, :, chosen][list(places)]
                cosines[row, chosen] = alignment(self.components[number], *parts)
        return cosines

    @cached_property
    def rank_one_shares(self) -> Floats:
        """(M,) mean over a neuron's functions, in the winning component."""
        shares = np.zeros(self.functions.shape[2])
        for number, chosen in self._by_winner():
            component = self.components[number]
            of_each = [
                rank_one_share(component, one[:, chosen]) for one in self.functions
            ]
            shares[chosen] = np.mean(of_each, axis=0)
        return shares

    def winners_only(self) -> Floats:
        """(F, N, M) functions projected on each neuron's winning component."""
        projected = np.zeros_like(self.functions)
        for number, chosen in self._by_winner():
            basis = self.components[number].basis
            part = self.functions[:, :, chosen]
            projected[:, :, chosen] = np.einsum(
                "nd,kd,fkm->fnm", basis, basis, part, optimize=True
            )
        return projected

    def _by_winner(self) -> list[tuple[int, Integers]]:
        """(component, neurons that it won), for those that won any."""
        numbers = np.unique(self.winners)
        return [(number, np.flatnonzero(self.winners == number)) for number in numbers]
