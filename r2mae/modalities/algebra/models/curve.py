"""What a network knows of all triples, recorded while it trains.

A buffer of the model, so that a run that is continued continues its curve.

Shapes: P points in time, N elements, T triples, F functions, M neurons, C components.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from r2mae.modalities.algebra.irreps import Component

COLUMNS = (
    "train_loss",
    "test_loss",
    "train_accuracy",
    "test_accuracy",
    "spectral_share",
    "weight_norm",
)


class CurvePlan(NamedTuple):
    """What is recorded, and when.

    triples: (T, 3) all triples. is_training: (T,) bool.
    components: of the group. every_samples: samples that train between two points.
    points: number of points, P.
    """

    triples: Tensor
    is_training: Tensor
    components: tuple[Component, ...]
    every_samples: int
    points: int


class Curve(nn.Module):
    """Records `COLUMNS` before the step that reads sample 0, `every_samples`, ..."""

    values: Tensor
    triples: Tensor
    is_training: Tensor
    basis: Tensor
    number: Tensor

    def __init__(self, plan: CurvePlan) -> None:
        super().__init__()
        self.every_samples = plan.every_samples
        self.register_buffer("values", torch.zeros(plan.points, len(COLUMNS)))
        varying = [one for one in plan.components if not one.is_trivial]
        basis = np.concatenate([one.basis for one in varying], axis=1)
        sizes = [one.basis.shape[1] for one in varying]
        constants = {
            "triples": plan.triples,
            "is_training": plan.is_training,
            "basis": torch.from_numpy(basis).float(),
            "number": torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        }
        for name, tensor in constants.items():
            self.register_buffer(name, tensor, persistent=False)
        self.num_components = len(varying)

    def record(self, model: Any, first_position: int) -> None:
        """Record a point if one is due at this position in the stream of samples."""
        point, offset = divmod(first_position, self.every_samples)
        if offset or point >= len(self.values):
            return
        self.values[point] = self.measure(model)

    @torch.no_grad()
    def measure(self, model: Any) -> Tensor:
        """(6,) `COLUMNS` of a model, in the precision of its weights."""
        with torch.autocast(self.triples.device.type, enabled=False):
            return self._measure(model)

    def _measure(self, model: Any) -> Tensor:
        hidden = torch.zeros_like(self.triples, dtype=torch.bool)
        hidden[:, 2] = True
        logits = model.slot_logits(self.triples, hidden)[:, -1]
        products = self.triples[:, 2]
        losses = F.cross_entropy(logits, products, reduction="none")
        hits = (logits.argmax(dim=1) == products).to(losses.dtype)
        columns = []
        for values in (losses, hits):
            for chosen in (self.is_training, ~self.is_training):
                columns.append((values * chosen).sum() / chosen.sum())
        shares = self.shares(model.functions())
        squares = [parameter.square().sum() for parameter in model.parameters()]
        norm = torch.stack(squares).sum().sqrt()
        return torch.stack([*columns, shares.max(dim=0).values.mean(), norm])

    def shares(self, functions: Tensor) -> Tensor:
        """(C, M) of each neuron's energy by component, without constants.

        functions: (F, N, M).
        """
        squares = torch.einsum("nd,fnm->fdm", self.basis, functions).square().sum(dim=0)
        energies = squares.new_zeros(self.num_components, squares.shape[1])
        energies.index_add_(0, self.number, squares)
        return energies / energies.sum(dim=0).clamp(min=1e-30)
