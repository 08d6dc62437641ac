"""Hidden values by their conditional mean given the visible ones of a sample.

N training samples, M samples with hidden values, F features, K components.
"""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
_COMPONENTS = 50
_LEAST_NOISE = 1e-6  # as a share of the mean variance; keeps the equations solvable
_TINY = 1e-12


class ConditionalMean:
    """Probabilistic PCA fitted on complete features (N, F).

    components: at most, and fewer than N and F.

    Source: Tipping and Bishop 1999. Differs: the noise is scikit-learn's, the mean of
    min(N, F) - K eigenvalues instead of F - K, which matters for N < F.
    """

    def __init__(
        self, train: npt.NDArray[np.floating], components: int = _COMPONENTS
    ) -> None:
        from sklearn.decomposition import PCA

        components = max(1, min(components, min(train.shape) - 1))
        pca = PCA(components, svd_solver="randomized", random_state=0).fit(train)
        self.mean, self.axes = pca.mean_, pca.components_.astype(np.float64)
        least_noise = _LEAST_NOISE * float(train.var(axis=0).mean())
        noise = max(float(pca.noise_variance_), least_noise, _TINY)
        signal = np.maximum(pca.explained_variance_ - noise, _TINY)
        self.noise_ratio = noise / signal  # (K,)

    def impute(self, values: npt.NDArray[np.floating]) -> Features:
        """(M, F) values with the conditional mean in place of NaN.

        Samples without any visible value get the training mean.
        """
        imputed = np.array(values, dtype=np.float32)
        for row in imputed:
            is_hidden = np.isnan(row)
            visible = self.axes[:, ~is_hidden]
            around = row[~is_hidden] - self.mean[~is_hidden]
            precision = visible @ visible.T + np.diag(self.noise_ratio)
            scores = np.linalg.solve(precision, visible @ around)
            row[is_hidden] = self.mean[is_hidden] + scores @ self.axes[:, is_hidden]
        return imputed


def impute_hidden(train: Features, test: Features) -> Features:
    """(M, F) test features; NaN becomes the conditional mean fitted on train (N, F)."""
    if not np.isnan(test).any():
        return test
    return ConditionalMean(train).impute(test)
