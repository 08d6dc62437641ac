"""A linear regression problem: covariance of the features, coefficients and noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from r2mae.theory.basis import Basis, DenseBasis, DiagonalBasis, Floats

_SYMMETRY = 1e-8  # of the greatest entry: rounding of an estimated covariance


@dataclass(frozen=True)
class Spectrum:
    """A covariance given by its eigenvalues (d,), for features of equal variance.

    It is accepted wherever a covariance is. Coefficients beside it are in the frame of
    the eigenvectors V: V'b.
    """

    eigenvalues: Floats

    @property
    def variance(self) -> float:
        """Variance of each feature: the mean eigenvalue."""
        return float(np.mean(self.eigenvalues))


@dataclass(frozen=True)
class Problem:
    """Covariances as a basis, and moments of the response y = x'b + noise.

    The basis is (S, D): the covariance, and the part of it that masking keeps within a
    feature or token. With a leading factor w it is (S_g, D_g, D_w, w w'), where
    S = S_g + w w' and D = D_g + D_w.
    """

    basis: Basis
    images: Floats  # (B, d) B_i b
    signal: float  # b'Sb
    noise_variance: float
    factor_signal: float = 0.0  # (w'b)^2

    @property
    def dim(self) -> int:
        """Number of features, d."""
        return self.basis.dim

    @property
    def has_factor(self) -> bool:
        """Whether rows are conditioned on a leading factor."""
        return len(self.images) == 4

    @property
    def covariance_image(self) -> Floats:
        """S b, (d,)."""
        if self.has_factor:
            return np.asarray(self.images[0] + self.images[3])
        return np.asarray(self.images[0])

    @property
    def response_variance(self) -> float:
        """Variance of the response."""
        return self.signal + self.noise_variance


def build_problem(
    covariance: ArrayLike | Spectrum,
    coefficients: ArrayLike,
    noise_variance: float,
    *,
    leading_factors: int = 0,
    tokens: ArrayLike | None = None,
) -> Problem:
    """Check a regression problem and choose its basis.

    The basis is diagonal where all masked covariances share eigenvectors, dense
    otherwise.

    covariance: S (d, d), or a `Spectrum`. coefficients: b (d,).
    leading_factors: 1 conditions on the leading principal component.
    tokens: labels (d,); features with the same label are hidden together. Default: each
        feature alone.

    Raises: ValueError for a value that breaks its rule.
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
                "covariance must be a matrix for leading_factors=1 or tokens, "
                "got a Spectrum."
            )
        return _from_spectrum(covariance, coefficients, noise_variance)
    return _from_matrix(
        covariance, coefficients, noise_variance, leading_factors, tokens
    )


def regress_on_others(
    covariance: ArrayLike, target: int
) -> tuple[Floats, Floats, float]:
    """Regression of one feature on all others, as arguments of `build_problem`.

    Returns covariance (d-1, d-1), coefficients (d-1,) and noise variance.

    Raises: ValueError for a bad covariance, or a target that is not a feature.
    """
    matrix = check_covariance(covariance)
    if not 0 <= target < len(matrix):
        raise ValueError(
            f"target must be a feature in [0, {len(matrix) - 1}], got {target}."
        )
    others = np.delete(np.arange(len(matrix)), target)
    rest, cross = matrix[np.ix_(others, others)], matrix[others, target]
    coefficients = np.linalg.lstsq(rest, cross, rcond=None)[0]
    unexplained = float(matrix[target, target] - cross @ coefficients)
    return rest, coefficients, max(unexplained, 0.0)


def check_covariance(covariance: ArrayLike) -> Floats:
    """The covariance as float64 (d, d), exactly symmetric.

    Raises: ValueError unless it is finite, symmetric and positive semi-definite, and
    every variance is positive.
    """
    matrix = _check_square(covariance)
    gap = np.abs(matrix - matrix.T)
    if gap.max() > _SYMMETRY * np.abs(matrix).max():
        row, column = divmod(int(gap.argmax()), len(gap))
        pair = f"{matrix[row, column]:.6g} and {matrix[column, row]:.6g}"
        raise ValueError(
            f"covariance must be symmetric, got {pair} at ({row}, {column}). "
            "Average it with its transpose."
        )
    variances = np.diag(matrix)
    if variances.min() <= 0:
        feature = int(variances.argmin())
        raise ValueError(
            f"variances must be positive, got {variances[feature]:.6g} for feature "
            f"{feature}. Leave it out."
        )
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -1e-8 * variances.max() * len(matrix) ** 0.5:
        raise ValueError(
            "covariance must be positive semi-definite, got an eigenvalue of "
            f"{least:.3g}. Shrink it towards its diagonal."
        )
    return (matrix + matrix.T) / 2


def block_diagonal(matrix: Floats, tokens: ArrayLike | None) -> Floats:
    """The entries (d, d) within a token; the others are 0.

    tokens: labels (d,); None makes each feature a token, which gives the diagonal.

    Raises: ValueError unless there is one label per feature.
    """
    if tokens is None:
        return np.diag(np.diag(matrix))
    labels = np.asarray(tokens)
    if labels.shape != matrix.shape[:1]:
        raise ValueError(
            f"tokens must be one label per feature, ({len(matrix)},), "
            f"got shape {labels.shape}."
        )
    return np.where(labels[:, None] == labels, matrix, 0.0)


def _check_square(covariance: ArrayLike) -> Floats:
    """The covariance as a finite square matrix of float64."""
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
        place = divmod(int(np.flatnonzero(~np.isfinite(matrix))[0]), len(matrix))
        raise ValueError(f"covariance must be finite, got {matrix[place]} at {place}.")
    return matrix


def _check_vector(name: str, values: ArrayLike, length: int | None = None) -> Floats:
    vector = np.asarray(values, dtype=np.float64)
    has_length = len(vector) == length if length is not None else vector.size > 0
    if vector.ndim != 1 or not has_length:
        numbers = "numbers" if length is None else f"{length} numbers"
        raise ValueError(
            f"{name} must be a vector of {numbers}, got shape {vector.shape}."
        )
    if not np.isfinite(vector).all():
        first = vector[~np.isfinite(vector)][0]
        raise ValueError(f"{name} must be finite, got {first}.")
    return vector


def _from_spectrum(
    spectrum: Spectrum, coefficients: ArrayLike, noise_variance: float
) -> Problem:
    values = _check_vector("eigenvalues", spectrum.eigenvalues)
    if values.min() < 0 or values.max() <= 0:
        raise ValueError(
            "eigenvalues must be at least 0 and not all 0, "
            f"got a minimum of {values.min():.3g}."
        )
    b = _check_vector("coefficients", coefficients, len(values))
    diagonal = np.full(len(values), spectrum.variance)
    return _assemble(DiagonalBasis(np.stack([values, diagonal])), b, noise_variance)


def _from_matrix(
    covariance: ArrayLike,
    coefficients: ArrayLike,
    noise_variance: float,
    leading_factors: int,
    tokens: ArrayLike | None,
) -> Problem:
    matrix = check_covariance(covariance)
    b = _check_vector("coefficients", coefficients, len(matrix))
    kept = block_diagonal(matrix, tokens)
    values, vectors = np.linalg.eigh(matrix)
    if leading_factors:
        factor = vectors[:, -1] * np.sqrt(values[-1])
        return _with_factor(matrix, tokens, factor, b, noise_variance)
    variance = kept[0, 0]
    equal = variance * np.eye(len(kept))
    if np.allclose(kept, equal, rtol=1e-10, atol=1e-12 * variance):
        # A multiple of the identity shares the eigenvectors of the covariance.
        diagonal = np.full(len(values), variance)
        basis = DiagonalBasis(np.stack([np.maximum(values, 0), diagonal]))
        return _assemble(basis, vectors.T @ b, noise_variance)
    return _assemble(DenseBasis(np.stack([matrix, kept])), b, noise_variance)


def _assemble(basis: Basis, b: Floats, noise_variance: float) -> Problem:
    images = basis.apply(b)
    return Problem(basis, images, float(b @ images[0]), noise_variance)


def _with_factor(
    matrix: Floats,
    tokens: ArrayLike | None,
    factor: Floats,
    b: Floats,
    noise_variance: float,
) -> Problem:
    """The problem with the leading factor w (d,) split from the covariance."""
    outer = np.outer(factor, factor)
    outer_kept = block_diagonal(outer, tokens)
    rest_kept = block_diagonal(matrix, tokens) - outer_kept
    basis = DenseBasis(np.stack([matrix - outer, rest_kept, outer_kept, outer]))
    images = basis.apply(b)
    signal = float(b @ (images[0] + images[3]))
    return Problem(basis, images, signal, noise_variance, float(factor @ b) ** 2)
