"""A small transformer with a token for each slot of a triple.

Shapes: B samples, 3 slots, N elements, D width.
"""

import torch
from torch import Tensor, nn

from r2mae.modalities.algebra.models.curve import CurvePlan
from r2mae.modalities.algebra.models.slots import NUM_SLOTS, MaskedSlots, SlotEncoder


class SlotTransformerEncoder(SlotEncoder):
    """Tokens of elements, or [MASK] as the last one, and of slots; then blocks."""

    def __init__(self, num_elements: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.num_elements = num_elements
        self.width = width
        self.elements = nn.Embedding(num_elements + 1, width)
        self.positions = nn.Parameter(torch.randn(NUM_SLOTS, width))
        block = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(width)
        self.blocks = nn.TransformerEncoder(
            block, depth, norm, enable_nested_tensor=False
        )

    def encode(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, 3, D) of each slot."""
        visible = triples.masked_fill(is_masked, self.num_elements)
        tokens: Tensor = self.blocks(self.elements(visible) + self.positions)
        return tokens

    def features(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, D) at the slot of the product."""
        return self.encode(triples, is_masked)[:, -1]


class SlotTransformer(SlotTransformerEncoder, MaskedSlots):
    """The transformer that pretraining trains; one linear output for all slots."""

    def __init__(
        self,
        num_elements: int,
        width: int,
        depth: int,
        heads: int,
        *,
        product_only: bool,
        plan: CurvePlan,
    ) -> None:
        super().__init__(num_elements, width, depth, heads)
        self.set_up(num_elements, product_only, plan)
        self.outputs = nn.Linear(width, num_elements)

    def slot_logits(self, triples: Tensor, is_masked: Tensor) -> Tensor:
        """(B, 1 or 3, N)."""
        tokens = self.encode(triples, is_masked)
        if self.product_only:
            tokens = tokens[:, -1:]
        logits: Tensor = self.outputs(tokens)
        return logits

    def functions(self) -> Tensor:
        """(1, N, D) the embeddings of the elements."""
        return self.elements.weight[None, :-1]
