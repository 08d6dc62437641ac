"""Costs of models that compute every position, measured instead of derived."""

from typing import Any

from torch import nn

from r2mae.masking.mask import Mask
from r2mae.models.meta_pass import MetaPass, run_on_meta
from r2mae.models.protocol import Memory


class MeasuredCost(nn.Module):
    """Mixin: `training_flops` and `saved_values` of a `MaskedModel` by a pass on meta.

    A subclass gives `cost_inputs`, a batch and a mask of which only shapes and dtypes matter.
    """

    def cost_inputs(
        self, num_samples: int, num_visible: int
    ) -> tuple[dict[str, Any], Mask]:
        """(batch, mask) of num_samples, each with num_visible positions left."""
        raise NotImplementedError

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward for one sample."""
        return self._cost(num_visible)[0]

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one sample keeps for backward."""
        return self._cost(num_visible)[1]

    def _cost(self, num_visible: int) -> tuple[int, Memory]:
        """Both costs of one sample; shapes never change, so one pass a count is enough."""
        costs: dict[int, tuple[int, Memory]] = self.__dict__.setdefault("_costs", {})
        if num_visible not in costs:
            measured = self.measure(2, num_visible)
            memory = Memory(measured.wide // 2, measured.narrow // 2)
            costs[num_visible] = measured.flops // 2, memory
        return costs[num_visible]

    def measure(
        self, num_samples: int, num_visible: int, *, bf16: bool = False
    ) -> MetaPass:
        """Cost of num_samples. Two or more: normalisation may refuse a single one."""
        return run_on_meta(
            self,
            lambda: self.cost_inputs(num_samples, num_visible),
            lambda output: output.loss.total,
            bf16=bf16,
        )
