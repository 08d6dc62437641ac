"""Masked language models of transformers, computed on packed documents.

The last block and the head run at hidden positions alone.

Shapes: B rows, N tokens of a row, T tokens in all, M hidden positions, D width,
V tokens of the vocabulary.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask
from r2mae.masking.pattern import Role
from r2mae.masking.replacement import replace_hidden
from r2mae.masking.vocabulary_loss import vocabulary_loss, vocabulary_top
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.language_encoder import LanguageEncoder, Vocabulary
from r2mae.models.masking_rules import masked_slots
from r2mae.models.pooling import Pooling
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.segments import count_in_segments, lay_out


@dataclass(frozen=True)
class TokenMasking:
    """Special tokens stay visible; the corruption of BERT. Implements `MaskingRules`.

    replacement: fractions of masked tokens that become [MASK] and a random token; the
        rest keep their token. Random tokens are never special ones.
    """

    grid: tuple[int, ...]
    vocabulary: Vocabulary
    replacement: tuple[float, float] = (1.0, 0.0)
    gathers: bool = True

    @cached_property
    def _is_special(self) -> Tensor:
        """(V,) bool."""
        is_special = torch.zeros(self.vocabulary.size, dtype=torch.bool, device="cpu")
        is_special[torch.tensor(self.vocabulary.special, device="cpu")] = True
        return is_special

    @cached_property
    def _ordinary(self) -> Tensor:
        """Token ids that are not special, rising."""
        return (~self._is_special).nonzero()[:, 0]

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) a `Role` each: special tokens stay visible, padding is absent."""
        ids = batch["input_ids"]
        special = self._is_special.to(ids.device)[ids]
        roles = torch.where(special, int(Role.SEEN), int(Role.HIDEABLE)).to(torch.int8)
        return roles.masked_fill(ids == self.vocabulary.pad, int(Role.ABSENT))

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """{"seen_ids", "masked_slots", "query_counts"}.

        seen_ids: (B, N) corrupted token ids, a function of (seed, position).
        masked_slots: (M,) places of masked tokens in the flattened rows.
        query_counts: (S,) masked tokens of each segment.
        """
        seen_ids = replace_hidden(
            batch["input_ids"],
            mask.is_masked,
            self.vocabulary.mask,
            self._ordinary,
            self.replacement,
            seed,
            batch["positions"],
        )
        slots = masked_slots(batch, mask)
        counts = count_in_segments(slots.numpy(), batch["segment_starts"])
        return {"seen_ids": seen_ids, "masked_slots": slots, "query_counts": counts}


class MaskedLanguageModel(LanguageEncoder):
    """Predicts hidden tokens. Implements `MaskedModel` and `PredictsClasses`.

    network: a BertForMaskedLM, RobertaForMaskedLM, ModernBertForMaskedLM or EsmForMaskedLM.
    length: tokens of a row, N.
    replacement: as in `TokenMasking`.
    """

    def __init__(
        self,
        network: Any,
        vocabulary: Vocabulary,
        *,
        length: int,
        replacement: tuple[float, float] = (1.0, 0.0),
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__(network, vocabulary, pooling)
        self.grid = (length,)
        self.masking = TokenMasking(self.grid, vocabulary, replacement)

    def _set_base(self, base: Any) -> None:
        # The attribute's name is part of every parameter's name in checkpoints.
        self.whole = base

    @property
    def base(self) -> Any:
        """The encoder without the masked language modelling head."""
        return self.whole.base_model

    def _prefix(self) -> str:
        return f"whole.{self.whole.base_model_prefix}."

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) int64 token ids, -1 for special tokens and padding."""
        is_fixed = self.masking.eligible(batch) != int(Role.HIDEABLE)
        ids: Tensor = batch["input_ids"]
        return ids.long().masked_fill(is_fixed, -1)

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of texts, pooled; hidden tokens are [MASK]."""
        return super().embed(self._hide(batch, mask))

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, F) bag of visible tokens: log1p of counts, special tokens left out."""
        return super().baseline(self._hide(batch, mask))

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, N, D), is_token (B, N)); hidden tokens are [MASK] and remain tokens."""
        return super().embed_tokens(self._hide(batch, mask))

    def _hide(self, batch: dict[str, Any], mask: Mask | None) -> dict[str, Any]:
        """The batch with [MASK], a special token, in place of hidden tokens."""
        if mask is None:
            return batch
        ids = batch["input_ids"].masked_fill(mask.is_masked, self.vocabulary.mask)
        return batch | {"input_ids": ids}

    def features(self, batch: dict[str, Any], mask: Mask) -> tuple[Tensor, Tensor]:
        """(inputs of the output layer (M, D), slots (M,) of the flattened rows).

        In the layout's order; padding is left out.
        """
        ids = batch["input_ids"]
        seen_ids, counts = batch.get("seen_ids"), batch.get("query_counts")
        if seen_ids is None:
            seen_ids = ids.masked_fill(mask.is_masked, self.vocabulary.mask)
        slots = masked_slots(batch, mask)
        if counts is None:
            counts = count_in_segments(slots.cpu().numpy(), batch["segment_starts"])
        layout = lay_out(batch["segment_starts"], batch["segment_lengths"], ids.device)
        queries, order = layout.queries_at(slots, ids.numel(), counts)
        hidden = self.encode(seen_ids, batch, layout, queries)
        return self._transform(hidden), slots[order]

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(hidden tokens (M,), None for equal weights), row by row."""
        return batch["input_ids"].flatten()[masked_slots(batch, mask)], None

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Cross-entropy of hidden tokens; predictions (M,), the top token, row by row.

        Predictions are computed only under no_grad: training does not use them.
        """
        features, slots = self.features(batch, mask)
        weight, bias = self.output_layer()
        targets = batch["input_ids"].flatten()[slots]
        weights = mask.weight_at(slots)
        loss = vocabulary_loss(features, weight, bias, targets, weights)
        predictions = targets.new_zeros(0)
        if not torch.is_grad_enabled():
            _, top = vocabulary_top(features[slots.argsort()], weight, bias)
            predictions = top[:, 0]
        count = loss.new_full((), float(len(targets)))
        if weights is not None:
            count = weights.sum().to(loss.dtype)
        return MaskedOutput(LossSum(loss, count), predictions)

    def likeliest(
        self, batch: dict[str, Any], mask: Mask, count: int
    ) -> tuple[Tensor, Tensor]:
        """(probabilities, tokens), the `count` top ones (M, count), row by row."""
        features, slots = self.features(batch, mask)
        order = slots.argsort()
        return vocabulary_top(features[order], *self.output_layer(), count)

    def _transform(self, hidden: Tensor) -> Tensor:
        """The head without its output layer: (M, D) -> (M, D)."""
        network = self.whole
        if self.base.config.model_type == "bert":
            transformed: Tensor = network.cls.predictions.transform(hidden)
        elif self.base.config.model_type in ("roberta", "esm"):
            activated = nn.functional.gelu(network.lm_head.dense(hidden))
            transformed = network.lm_head.layer_norm(activated)
        else:
            transformed = network.head(hidden)
        return transformed

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """(weight (V, D), bias (V,))."""
        last = self.whole.get_output_embeddings()
        is_esm = self.base.config.model_type == "esm"
        return last.weight, self.whole.lm_head.bias if is_esm else last.bias

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:
        """None: texts have no pictures."""
        return None

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for a row that is a single document."""
        width, length, mlp = self.width, self.grid[0], self._mlp_width()
        num_hidden = max(0, length - num_visible)
        num_full_blocks = len(self.runner.blocks) - 1
        # The last block: keys and values of all tokens, the rest for hidden ones.
        last = linear_flops(length, width, 2 * width)
        last += 2 * linear_flops(num_hidden, width, width)
        last += 2 * linear_flops(num_hidden, width, mlp)
        last += 7 * 2 * num_hidden * length * width
        head = linear_flops(num_hidden, width, width)
        head += linear_flops(num_hidden, width, self.vocabulary.size)
        return num_full_blocks * block_flops(length, width, mlp) + last + head

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that a row keeps for backward, approximately.

        Logits are not counted: the loss computes them in parts and keeps none.
        """
        width, mlp = self.width, self._mlp_width()
        num_hidden = max(0, self.grid[0] - num_visible)
        heads = self.base.config.num_attention_heads
        full = block_saved(self.grid[0], width, mlp, heads)
        last = block_saved(num_hidden, width, mlp, heads)
        num_full_blocks = len(self.runner.blocks) - 1
        return Memory(
            full.wide * num_full_blocks + last.wide,
            full.narrow * num_full_blocks + last.narrow,
        )

    def _mlp_width(self) -> int:
        """Hidden width of the MLP, for costs."""
        config = self.base.config
        # A gated MLP has three linear layers where a plain one has two.
        factor = 1.5 if config.model_type == "modernbert" else 1
        return int(config.intermediate_size * factor)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import MaskedModel

    _masked_model: type[MaskedModel] = MaskedLanguageModel
