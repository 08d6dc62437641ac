"""Base classes with default implementations of `Encoder` and `MaskedModel`."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.mask import Mask
from r2mae.models.masking_rules import EveryPosition, MaskingRules
from r2mae.models.measured_cost import MeasuredCost
from r2mae.models.pooling import as_token
from r2mae.models.recompute import no_blocks


class EncoderModule(nn.Module):
    """An `Encoder` without repeated blocks. Subclasses give `width`, `embed` and `baseline`."""

    width: int

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features as the only token of a sample. Override it for a model with tokens."""
        model: Any = self
        return as_token(
            model.embed(batch) if mask is None else model.embed(batch, mask)
        )

    def layers(self) -> dict[str, int]:
        """All parameters at depth 0: `tune.layer_decay` lowers their learning rate alike."""
        return {name: 0 for name, _ in self.named_parameters()}

    def compile_blocks(self) -> None:
        """Compile the full module, since there are no repeated blocks."""
        self.compile(dynamic=True)

    def recompute_blocks(self) -> None:
        """Raise InputError: there are no repeated blocks."""
        raise InputError(no_blocks(type(self).__name__))


class MaskedModule(MeasuredCost, EncoderModule):
    """A `MaskedModel` whose positions may all be hidden, with measured costs.

    Subclasses define `grid`, `tokens`, `example` and `forward`, and what `EncoderModule`
    leaves to them.
    """

    grid: tuple[int, ...]

    @abstractmethod
    def example(self, num_samples: int) -> dict[str, Any]:
        """A batch with the shapes and dtypes of real data, for the measured costs."""

    @property
    def masking(self) -> MaskingRules:
        """Every position may be masked."""
        return EveryPosition(self.grid)

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:
        """None: no pictures."""
        return None

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """An example and a mask of its shape, for the costs."""
        positions = torch.arange(math.prod(self.grid)).expand(num_samples, -1)
        hidden = len(positions[0]) - num_visible
        mask = Mask(
            torch.ones_like(positions, dtype=torch.bool),
            visible=positions[:, hidden:],
            masked=positions[:, :hidden],
        )
        return self.example(num_samples), mask
