"""The matrices that every masked covariance is a linear combination of.

`DiagonalBasis` holds matrices that share eigenvectors, `DenseBasis` any others.

B: matrices in the basis  d: features. A resolvent is
Q = inv(sum_i coefs_i B_i + eps I); it is complex where coefs or eps are.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float64 or complex128
Floats = NDArray[np.float64]


class Basis(Protocol):
    """Operations on B_1 .. B_B, each (d, d), symmetric and positive semi-definite."""

    dim: int

    def inverse(self, coefs: Array, eps: complex) -> Array:
        """The resolvent Q for coefs (B,), in the form that the other methods take."""

    def traces(self, inverse: Array) -> Array:
        """tr(B_i Q), (B,)."""

    def pair_traces(self, left: Array, right: Array) -> Array:
        """tr(B_i Q B_j P), (B, B), for two resolvents Q and P."""

    def solve(self, inverse: Array, vector: Array) -> Array:
        """Q v, (d,)."""

    def apply(self, vector: Array) -> Array:
        """B_i v, (B, d)."""


class DiagonalBasis:
    """Matrices that share eigenvectors, given by their eigenvalues (B, d).

    Vectors are in the frame of the eigenvectors. A call costs O(B^2 d).
    """

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
    """Any matrices, (B, d, d).

    A call costs at most one inverse or 2 B products of d x d matrices.
    """

    def __init__(self, matrices: Array) -> None:
        self.matrices = matrices
        self.dim = matrices.shape[1]

    def inverse(self, coefs: Array, eps: complex) -> Array:
        """Q, (d, d)."""
        total = np.tensordot(coefs, self.matrices, axes=1)
        return np.linalg.inv(total + eps * np.eye(self.dim))

    def traces(self, inverse: Array) -> Array:
        """tr(B_i Q), (B,)."""
        # Q and B_i are symmetric, so the trace of a product is a sum over entries.
        return np.asarray(np.einsum("bij,ij->b", self.matrices, inverse))

    def pair_traces(self, left: Array, right: Array) -> Array:
        """tr(B_i Q B_j P), (B, B)."""
        first = self.matrices @ left
        # One resolvent paired with itself is the common case: save half the products.
        second = first if right is left else self.matrices @ right
        size = len(self.matrices)
        transposed = second.transpose(0, 2, 1).reshape(size, -1)
        return np.asarray(first.reshape(size, -1) @ transposed.T)

    def solve(self, inverse: Array, vector: Array) -> Array:
        """Q v, (d,)."""
        return np.asarray(inverse @ vector)

    def apply(self, vector: Array) -> Array:
        """B_i v, (B, d)."""
        return np.asarray(self.matrices @ vector)
