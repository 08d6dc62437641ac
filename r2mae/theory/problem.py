"""A linear regression problem: the features' covariance, the response's coefficients and noise, checked once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2mae.theory.basis import Basis, DenseBasis, DiagonalBasis

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """A covariance by its eigenvalues (d,), where all features have the same variance: stands for a matrix anywhere.

    Coefficients beside it are in the eigenvectors' frame: V'b.
    """

    eigenvalues: Floats

    @property
    def variance(self) -> float:
        """Of each feature: the mean eigenvalue."""
        return float(np.mean(self.eigenvalues))


@dataclass(frozen=True)
class Problem:
    """What the equations need: a basis that starts with (S, D), the images B_i b, and moments of the response.

    With a leading factor the basis is (S_g, D_g, D_w, w w') and S = S_g + w w', D = D_g + D_w.
    """

    basis: Basis
    images: Floats  # (B, d)
    signal: float  # b'Sb
    noise_variance: float
    factor_signal: float = 0.0  # (w'b)^2

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.basis.dim

    @property
    def has_factor(self) -> bool:
        """Whether rows are conditioned on a leading factor."""
        return len(self.images) == 4


def build_problem(
    covariance: ArrayLike | Spectrum,
    coefficients: ArrayLike,
    noise_variance: float,
    *,
    leading_factors: int = 0,
    tokens: ArrayLike | None = None,
) -> Problem:
    """The problem, with eigenvectors where all masked covariances share them, dense matrices otherwise.

    covariance: (d, d) or a `Spectrum`. tokens: (d,), features of the same token hide together; default: each alone.
    Raises: ValueError for anything that is no covariance, no vector, no variance.
    """
    if not 0 <= noise_variance < np.inf:
        raise ValueError(
            f"noise_variance must be finite and at least 0, got {noise_variance}."
        )
    if leading_factors not in (0, 1):
        raise ValueError(f"leading_factors must be 0 or 1, got {leading_factors}.")
    if isinstance(covariance, Spectrum):
        if leading_factors or tokens is not None:
            raise ValueError(
                "covariance must be a matrix for leading_factors=1 or tokens, got a Spectrum."
            )
        values = _check_vector("eigenvalues", covariance.eigenvalues)
        if values.min() < 0 or values.max() <= 0:
            raise ValueError(
                f"eigenvalues must be at least 0 and not all 0, got a least one of {values.min():.3g}."
            )
        b = _check_vector("coefficients", coefficients, len(values))
        return _diagonal(
            values, np.full(len(values), covariance.variance), b, noise_variance
        )
    matrix = check_covariance(covariance)
    b = _check_vector("coefficients", coefficients, len(matrix))
    noise = block_diagonal(matrix, tokens)
    values, vectors = np.linalg.eigh(matrix)
    if leading_factors:
        return _with_factor(
            matrix, tokens, vectors[:, -1] * np.sqrt(values[-1]), b, noise_variance
        )
    variance = noise[0, 0]
    if np.allclose(
        noise, variance * np.eye(len(noise)), rtol=1e-10, atol=1e-12 * variance
    ):
        return _diagonal(
            np.maximum(values, 0),
            np.full(len(values), variance),
            vectors.T @ b,
            noise_variance,
        )
    return _assemble(DenseBasis(np.stack([matrix, noise])), b, noise_variance)


def regress_on_others(
    covariance: ArrayLike, target: int
) -> tuple[Floats, Floats, float]:
    """One feature as the response of all others: (covariance (d-1, d-1), coefficients (d-1,), noise variance).

    Raises: ValueError for no covariance, or no such feature.
    """
    matrix = check_covariance(covariance)
    if not 0 <= target < len(matrix):
        raise ValueError(
            f"target must be a feature in [0, {len(matrix) - 1}], got {target}."
        )
    others = np.delete(np.arange(len(matrix)), target)
    rest, cross = matrix[np.ix_(others, others)], matrix[others, target]
    coefficients = np.linalg.lstsq(rest, cross, rcond=None)[0]
    return (
        rest,
        coefficients,
        max(float(matrix[target, target] - cross @ coefficients), 0.0),
    )


def check_covariance(covariance: ArrayLike) -> Floats:
    """As float64 (d, d). Raises: ValueError unless finite, symmetric, positive semi-definite, no variance 0."""
    try:
        matrix = np.asarray(covariance, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"covariance must be numbers, got {type(covariance).__name__}."
        ) from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(
            f"covariance must be a square matrix, got shape {matrix.shape}."
        )
    if not np.isfinite(matrix).all():
        where = divmod(int(np.flatnonzero(~np.isfinite(matrix))[0]), len(matrix))
        raise ValueError(f"covariance must be finite, got {matrix[where]} at {where}.")
    gap = np.abs(matrix - matrix.T)
    if gap.max() > 1e-8 * np.abs(matrix).max():
        where = divmod(int(gap.argmax()), len(gap))
        pair = (
            f"{matrix[where]:.6g} and {matrix.T[where]:.6g} at ({where[0]}, {where[1]})"
        )
        raise ValueError(
            f"covariance must be symmetric, got {pair}. Average it with its transpose."
        )
    variances = np.diag(matrix)
    if variances.min() <= 0:
        least_of = int(variances.argmin())
        got = f"{variances[least_of]:.6g} for feature {least_of}"
        raise ValueError(f"variances must be positive, got {got}. Leave it out.")
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -1e-8 * variances.max() * len(matrix) ** 0.5:
        raise ValueError(
            f"covariance must be positive semi-definite, got an eigenvalue of {least:.3g}. "
            "Shrink it towards its diagonal."
        )
    return (matrix + matrix.T) / 2


def block_diagonal(matrix: Floats, tokens: ArrayLike | None) -> Floats:
    """What masks leave of a covariance between features that hide alone, or by tokens (d,), (d, d)."""
    if tokens is None:
        return np.diag(np.diag(matrix))
    labels = np.asarray(tokens)
    if labels.shape != matrix.shape[:1]:
        raise ValueError(
            f"tokens must be one label a feature, ({len(matrix)},), got shape {labels.shape}."
        )
    return np.where(labels[:, None] == labels, matrix, 0.0)


def _check_vector(name: str, values: ArrayLike, length: int | None = None) -> Floats:
    vector = np.asarray(values, dtype=np.float64)
    if (
        vector.ndim != 1
        or not len(vector)
        or (length is not None and len(vector) != length)
    ):
        raise ValueError(
            f"{name} must be a vector of {length or 'some'} numbers, got shape {vector.shape}."
        )
    if not np.isfinite(vector).all():
        raise ValueError(
            f"{name} must be finite, got {vector[~np.isfinite(vector)][0]}."
        )
    return vector


def _diagonal(
    values: Floats, diagonal: Floats, b: Floats, noise_variance: float
) -> Problem:
    return _assemble(DiagonalBasis(np.stack([values, diagonal])), b, noise_variance)


def _assemble(basis: Basis, b: Floats, noise_variance: float) -> Problem:
    images = basis.apply(b)
    return Problem(basis, images, float(b @ images[0]), noise_variance)


def _with_factor(
    matrix: Floats,
    tokens: ArrayLike | None,
    w: Floats,
    b: Floats,
    noise_variance: float,
) -> Problem:
    outer = np.outer(w, w)
    own_noise = block_diagonal(outer, tokens)
    basis = DenseBasis(
        np.stack(
            [
                matrix - outer,
                block_diagonal(matrix, tokens) - own_noise,
                own_noise,
                outer,
            ]
        )
    )
    images = basis.apply(b)
    return Problem(
        basis,
        images,
        float(b @ (images[0] + images[3])),
        noise_variance,
        float(w @ b) ** 2,
    )
