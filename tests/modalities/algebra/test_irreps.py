"""Irreps from a table: orthogonality, dimensions, and what is in textbooks."""

import numpy as np
import pytest

from r2mae.modalities.algebra.group import open_group
from r2mae.modalities.algebra.irreps import components_of

# {group: dimensions of the irreps, conjugate pairs counted once}
DIMENSIONS = {
    "Z7": [1, 1, 1, 1],
    "Z8": [1, 1, 1, 1, 1],
    "Z2xZ2": [1, 1, 1, 1],
    "D4": [1, 1, 1, 1, 2],
    "D7": [1, 1, 2, 2, 2],
    "S3": [1, 1, 2],
    "S4": [1, 1, 2, 3, 3],
    "S5": [1, 1, 4, 4, 5, 5, 6],
    "Q8": [1, 1, 1, 1, 2],
    "Z3xS3": [1, 1, 1, 2, 2, 1],
}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimensions_and_sum_of_squares(name):
    components = components_of(name)
    dimensions = [one.dimension for one in components]
    assert sorted(dimensions) == sorted(DIMENSIONS[name])
    assert components[0].is_trivial
    assert not any(one.is_trivial for one in components[1:])
    copies = [2 if one.type == "complex" else 1 for one in components]
    squares = sum(c * d * d for c, d in zip(copies, dimensions, strict=True))
    assert squares == len(open_group(name))


@pytest.mark.parametrize("name", DIMENSIONS)
def test_matrices_are_unitary_and_multiply_as_the_group(name):
    table = open_group(name).table
    for component in components_of(name):
        matrices = component.matrices
        products = np.einsum("gij,hjk->ghik", matrices, matrices)
        assert np.allclose(products, matrices[table], atol=1e-6)
        squares = matrices @ matrices.conj().transpose(0, 2, 1)
        assert np.allclose(squares, np.eye(component.dimension), atol=1e-6)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_matrix_coefficients_are_orthogonal(name):
    """Schur's orthogonality: the norm of each is N / d, products of two are 0."""
    components = components_of(name)
    size = len(components[0].matrices)
    columns = [one.matrices.reshape(size, -1) for one in components]
    scales = [one.dimension / size for one in components]
    for first, scale in zip(columns, scales, strict=True):
        for second in columns:
            products = first.conj().T @ second * scale
            expected = np.eye(len(products)) if first is second else 0
            assert np.allclose(products, expected, atol=1e-6)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_bases_of_components_are_one_orthonormal_basis(name):
    basis = np.concatenate([one.basis for one in components_of(name)], axis=1)
    assert basis.shape == (len(basis), len(basis))
    assert np.allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-8)


def test_types_of_irreps():
    def types(name):
        return [one.type for one in components_of(name)]

    assert set(types("S5")) == {"real"}
    assert types("Z7") == ["real", "complex", "complex", "complex"]
    assert types("Q8")[-1] == "quaternionic"
    assert types("D4")[-1] == "real"


def test_frequencies_of_cyclic_groups_are_in_order():
    size = 11
    components = components_of(f"Z{size}")
    assert components[3].name == "frequency 3"
    for frequency, component in enumerate(components):
        expected = np.exp(2j * np.pi * frequency * np.arange(size) / size)
        assert np.allclose(component.matrices[:, 0, 0], expected)
