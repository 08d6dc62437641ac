"""Hidden genes filled with their conditional mean, as the network's input.

Shapes: B cells, G genes, K principal components.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from r2mae.evaluation.conditional_mean import ConditionalMean

_GENES_AT_ONCE = 4096  # bounds the memory of products of components
_LEAST_RATIO = 1e-4  # keeps float32 solvable where few genes are visible


class Completion(nn.Module):
    """Conditional mean under probabilistic PCA of the training cells.

    All values are constants of the run, stored in its checkpoints.

    components: K.
    fitted: None leaves zeros, for weights that are loaded later.

    Source: Tipping and Bishop 1999.
    """

    mean: Tensor  # (G,)
    axes: Tensor  # (K, G), orthonormal principal axes; 0 beyond the rank of the data
    noise_ratio: Tensor  # (K,) variance of the noise over that of the component

    def __init__(
        self, num_genes: int, components: int, fitted: ConditionalMean | None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_genes))
        self.register_buffer("axes", torch.zeros(components, num_genes))
        self.register_buffer("noise_ratio", torch.ones(components))
        if fitted is not None:
            rank = len(fitted.axes)
            self.mean.copy_(torch.as_tensor(fitted.mean))
            self.axes[:rank].copy_(torch.as_tensor(fitted.axes))
            ratio = torch.as_tensor(fitted.noise_ratio).clamp(min=_LEAST_RATIO)
            self.noise_ratio[:rank].copy_(ratio)

    def forward(self, inputs: Tensor, is_hidden: Tensor) -> Tensor:
        """Completed inputs (B, G).

        inputs: (B, G); values at hidden genes are not read.
        is_hidden: (B, G) bool.
        """
        scores = self.scores(inputs, is_hidden)
        with _constant(inputs):
            inputs = inputs.float()
            return torch.where(is_hidden, self.mean + scores @ self.axes, inputs)

    def scores(self, inputs: Tensor, is_hidden: Tensor) -> Tensor:
        """(B, K) conditional means of the principal components given visible genes.

        Arguments as of `forward`.
        """
        with _constant(inputs):
            return self._scores(inputs.float(), is_hidden)

    def _scores(self, inputs: Tensor, is_hidden: Tensor) -> Tensor:
        visible = (~is_hidden).float()
        around = (inputs - self.mean) * visible
        # Symmetric positive definite. cholesky_ex does not wait for the GPU to report errors.
        precision = self._products(visible) + torch.diag(self.noise_ratio)
        projected = (around @ self.axes.T)[:, :, None]
        if torch.compiler.is_exporting():
            return _eliminate(precision, projected)
        factor = torch.linalg.cholesky_ex(precision).L
        return torch.cholesky_solve(projected, factor)[:, :, 0]

    def _products(self, visible: Tensor) -> Tensor:
        """(B, K, K): products of axes, summed over each cell's visible genes (B, G)."""
        size = len(self.axes)
        rows, columns = torch.tril_indices(size, size, device=visible.device)
        sums = visible.new_zeros(visible.shape[0], len(rows))
        for start in range(0, self.axes.shape[1], _GENES_AT_ONCE):
            part = slice(start, start + _GENES_AT_ONCE)
            axes = self.axes[:, part]
            sums = sums + visible[:, part] @ (axes[rows] * axes[columns]).T
        products = sums.new_zeros(sums.shape[0], size, size)
        products[:, rows, columns] = sums
        products[:, columns, rows] = sums
        return products


@contextmanager
def _constant(inputs: Tensor) -> Iterator[None]:
    """Without gradients and autocast: bf16 would be too coarse."""
    # Exports trace neither, and autocast does not know the meta device of outlines.
    if torch.compiler.is_exporting():
        yield
    elif inputs.is_meta:
        with torch.no_grad():
            yield
    else:
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            yield


def _eliminate(matrix: Tensor, right: Tensor) -> Tensor:
    """(B, K) solutions of positive definite systems (B, K, K), (B, K, 1).

    Gauss-Jordan elimination, in operators that ONNX has. Positive definite matrices need
    no exchange of rows.
    """
    rows = torch.cat([matrix, right], dim=2)
    numbers = torch.arange(matrix.shape[1], device=matrix.device)
    for number in range(matrix.shape[1]):
        factors = rows[:, :, number, None]
        pivot = rows[:, number, None] / rows[:, number, None, number, None]
        is_pivot = (numbers == number)[:, None]
        rows = torch.where(is_pivot, pivot, rows - factors * pivot)
    return rows[:, :, -1]
