"""Irreducible representations of a finite group, computed from its table.

The right translations commute with the left regular representation. Each eigenspace of a
random Hermitian combination of them is therefore invariant under left translations, and
with probability 1 irreducible: one copy of one irrep.

Real functions on the group split into components: one for each irrep, or for each pair of
complex conjugate irreps. For Z_n these are the frequencies.

Shapes: N elements, d dimension of an irrep, D of a component, C components.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError
from r2mae.modalities.algebra.group import Group, open_group

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]
_TOLERANCE = 1e-6
_ATTEMPTS = 5


@dataclass(frozen=True)
class Component:
    """A real isotypic component: an irrep, with its conjugate where that is another one.

    matrices: (N, d, d) unitary, of the irrep.
    type: of the irrep, by its Frobenius-Schur indicator 1, 0 or -1.
    basis: (N, D) orthonormal real functions that span the component.
    """

    name: str
    matrices: Complexes
    type: Literal["real", "complex", "quaternionic"]
    basis: Floats

    @property
    def dimension(self) -> int:
        """Of the irrep, d."""
        return int(self.matrices.shape[1])

    def describe(self) -> dict[str, Any]:
        """Name, dimension and type, ready for JSON."""
        return {"name": self.name, "dimension": self.dimension, "type": self.type}

    @property
    def is_trivial(self) -> bool:
        """Whether it is that of constant functions."""
        return bool(np.allclose(self.matrices, 1))

    @property
    def largest_product(self) -> float:
        """Greatest sum of a(g1) b(g2) c(g1 g2) over functions of norm 1 in the component.

        sqrt(N / d) for real irreps and sqrt(N / (2 d)) otherwise; `spectrum.alignment`
        says why.
        """
        copies = 1 if self.type == "real" else 2
        return float(np.sqrt(len(self.matrices) / (copies * self.dimension)))


@lru_cache(maxsize=8)
def components_of(group_name: str) -> tuple[Component, ...]:
    """All components of a group, the constant functions first, then by dimension.

    Raises: InputError for an unknown group.
    """
    return find_components(open_group(group_name))


def find_components(group: Group) -> tuple[Component, ...]:
    """All components of a group, the constant functions first, then by dimension."""
    remaining = sorted(_irreps(group), key=_sort_key)
    components: list[Component] = []
    characters: list[Complexes] = []
    for matrices in remaining:
        character = np.trace(matrices, axis1=1, axis2=2)
        if any(np.allclose(character.conj(), other, atol=1e-4) for other in characters):
            continue  # the conjugate of an earlier one
        characters.append(character)
        components.append(_component(group, matrices, len(components)))
    return tuple(components)


def _irreps(group: Group) -> list[Complexes]:
    """One (N, d, d) for each irrep.

    Raises: InputError if the squared dimensions never add up to N.
    """
    for attempt in range(_ATTEMPTS):
        irreps: list[Complexes] = []
        characters: list[Complexes] = []
        for space in _eigenspaces(group, attempt):
            # (L(g) E)[k] = E[g^-1 k]
            moved = space[group.table[group.inverses]]  # (N, N, d)
            matrices = np.einsum("kd,gke->gde", space.conj(), moved)
            character = np.trace(matrices, axis1=1, axis2=2)
            if not any(np.allclose(character, one, atol=1e-4) for one in characters):
                irreps.append(matrices)
                characters.append(character)
        if sum(one.shape[1] ** 2 for one in irreps) == len(group):
            return irreps
    raise InputError(
        f"data.group must have irreps that can be told apart, got {group.name}."
    )


def _eigenspaces(group: Group, seed: int) -> list[Complexes]:
    """Eigenspaces (N, d) of a random Hermitian matrix that commutes with translations."""
    draw = np.random.default_rng(seed)
    weights = draw.normal(size=len(group)) + 1j * draw.normal(size=len(group))
    half = weights[group.table[group.inverses]]  # [a, b]: weight of a^-1 b
    values, vectors = np.linalg.eigh(half + half.conj().T)
    width = values[-1] - values[0]
    borders = np.flatnonzero(np.diff(values) > _TOLERANCE * width) + 1
    return list(np.split(vectors, borders, axis=1))


def _sort_key(matrices: Complexes) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """By dimension, then by the character: frequency 1, 2, ... of Z_n, 1 before -1."""
    character = np.trace(matrices, axis1=1, axis2=2).round(4)
    real, imaginary = (-character.real).tolist(), (-character.imag).tolist()
    return matrices.shape[1], tuple(real), tuple(imaginary)


def _component(group: Group, matrices: Complexes, number: int) -> Component:
    size, dimension = matrices.shape[:2]
    character = np.trace(matrices, axis1=1, axis2=2)
    squares = group.table.diagonal()
    indicator = round(float(character[squares].real.mean()))
    kind: Literal["real", "complex", "quaternionic"] = "complex"
    if indicator:
        kind = "real" if indicator > 0 else "quaternionic"
    quotients = group.table[:, group.inverses]  # [k, h]: k h^-1
    projector = dimension / size * character[quotients].real
    if kind == "complex":
        projector *= 2
    values, vectors = np.linalg.eigh(projector)
    basis = vectors[:, values > 0.5]
    name = "constant" if number == 0 else f"{dimension}-dim {number}"
    if group.name.removeprefix("Z").isdigit() and number:
        name = f"frequency {number}"
    return Component(name, matrices, kind, basis)
