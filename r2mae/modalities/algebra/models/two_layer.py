"""The two-layer network: one-hot inputs, an activation, linear outputs.

Shapes: B samples, 3 slots, N elements, M neurons.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from r2mae.modalities.algebra.models.curve import CurvePlan
from r2mae.modalities.algebra.models.slots import (
    NUM_SLOTS,
    MaskedSlots,
    SlotEncoder,
    normal_parameter,
)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quadratic": torch.square,
    "relu": torch.relu,
}
# Which functions of a neuron multiply at triples, by the hidden slot: (g1, g2, product).
Triad = tuple[int, int, int]


class TwoLayerEncoder(SlotEncoder):
    """The hidden layer. inputs: (2, N, M) weights of g1 and g2."""

    def __init__(
        self, num_elements: int, width: int, activation: str, scale: float
    ) -> None:
        super().__init__()
        self.num_elements = num_elements
        self.width = width
        self.activation = activation
        self.inputs = normal_parameter((2, num_elements, width), scale)

    def input_weights(self) -> Tensor:
        """(2 or 3, N, M) of the slots that enter."""
        return self.inputs

    def features(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, M) the activation of the sum over visible slots."""
        weights = self.input_weights()
        total: Tensor | int = 0
        for slot, table in enumerate(weights):
            visible = ~is_masked[:, slot, None]
            total = total + table[triples[:, slot]] * visible
        assert isinstance(total, Tensor)
        return ACTIVATIONS[self.activation](total)


class TwoLayerNetwork(TwoLayerEncoder, MaskedSlots):
    """The network that pretraining trains.

    product_only: the product is always masked, so it has no input, and the only output.
    outputs: (1 or 3, N, M) weights of the predicted slots.
    """

    def __init__(
        self,
        num_elements: int,
        width: int,
        activation: str,
        scale: float,
        *,
        product_only: bool,
        plan: CurvePlan,
    ) -> None:
        super().__init__(num_elements, width, activation, scale)
        self.set_up(num_elements, product_only, plan)
        shape = (num_elements, width)
        if not product_only:
            self.product_inputs = normal_parameter((1, *shape), scale)
        num_outputs = 1 if product_only else NUM_SLOTS
        self.outputs = normal_parameter((num_outputs, *shape), scale)

    def input_weights(self) -> Tensor:
        """(2 or 3, N, M) of the slots that enter."""
        if self.product_only:
            return self.inputs
        return torch.cat([self.inputs, self.product_inputs])

    def slot_logits(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, 1 or 3, N)."""
        hidden = self.features(triples, is_masked)
        return torch.einsum("bm,snm->bsn", hidden, self.outputs)

    def functions(self) -> Tensor:
        """(3 or 6, N, M) input weights, then output weights."""
        return torch.cat([self.input_weights(), self.outputs])

    def triads(self) -> dict[int, Triad]:
        """{hidden slot: places in `functions` of the weights of g1, g2 and product}."""
        if self.product_only:
            return {2: (0, 1, 2)}
        return {0: (3, 1, 2), 1: (0, 4, 2), 2: (0, 1, 5)}
