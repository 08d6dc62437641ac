"""The few matrices that every masked covariance is a combination of, diagonal together or dense.

B: matrices in the basis  d: features. A resolvent Q is inv(sum_i coefs_i B_i + eps I), complex where coefs or eps are.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Basis(Protocol):
    """What the equations ask of the matrices B_1 .. B_B, each (d, d), symmetric and positive semi-definite."""

    dim: int

    def inverse(self, coefs: Array, eps: complex) -> Array:
        """Q for coefs (B,)."""

    def traces(self, inverse: Array) -> Array:
        """tr(B_i Q), (B,)."""

    def pair_traces(self, left: Array, right: Array) -> Array:
        """tr(B_i Q B_j P), (B, B), for two resolvents Q and P."""

    def solve(self, inverse: Array, vector: Array) -> Array:
        """Q v, (d,)."""

    def apply(self, vector: Array) -> Array:
        """B_i v, (B, d)."""


class DiagonalBasis:
    """Matrices that share eigenvectors, as (B, d) eigenvalues; vectors are in that frame. O(B^2 d) a call."""

    def __init__(self, eigenvalues: Array) -> None:
        self.eigenvalues = eigenvalues
        self.dim = eigenvalues.shape[1]

    def inverse(self, coefs: Array, eps: complex) -> Array:
        """Q as its eigenvalues, (d,)."""
        return np.asarray(1 / (coefs @ self.eigenvalues + eps))

    def traces(self, inverse: Array) -> Array:
        """tr(B_i Q), (B,)."""
        return np.asarray(self.eigenvalues @ inverse)

    def pair_traces(self, left: Array, right: Array) -> Array:
        """tr(B_i Q B_j P), (B, B)."""
        return np.asarray((self.eigenvalues * (left * right)) @ self.eigenvalues.T)

    def solve(self, inverse: Array, vector: Array) -> Array:
        """Q v, (d,)."""
        return inverse * vector

    def apply(self, vector: Array) -> Array:
        """B_i v, (B, d)."""
        return self.eigenvalues * vector


class DenseBasis:
    """Any matrices, (B, d, d). One inverse and 2 B products of d x d matrices a call."""

    def __init__(self, matrices: Array) -> None:
        self.matrices = matrices
        self.dim = matrices.shape[1]

    def inverse(self, coefs: Array, eps: complex) -> Array:
        """Q, (d, d)."""
        total = np.tensordot(coefs, self.matrices, axes=1)
        return np.linalg.inv(total + eps * np.eye(self.dim))

    def traces(self, inverse: Array) -> Array:
        """tr(B_i Q), (B,)."""
        return np.asarray(
            np.einsum("bij,ij->b", self.matrices, inverse)
        )  # Q and B_i are symmetric

    def pair_traces(self, left: Array, right: Array) -> Array:
        """tr(B_i Q B_j P), (B, B)."""
        first = self.matrices @ left
        second = first if right is left else self.matrices @ right
        size = len(self.matrices)
        return np.asarray(
            first.reshape(size, -1) @ second.transpose(0, 2, 1).reshape(size, -1).T
        )

    def solve(self, inverse: Array, vector: Array) -> Array:
        """Q v, (d,)."""
        return np.asarray(inverse @ vector)

    def apply(self, vector: Array) -> Array:
        """B_i v, (B, d)."""
        return np.asarray(self.matrices @ vector)
