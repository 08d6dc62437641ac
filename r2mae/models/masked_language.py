"""Masked language models: a model of transformers, computed over packed documents and at hidden positions alone.

Shapes: B rows, N tokens of a row, T tokens in all, M hidden positions, D width, V tokens of the vocabulary.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.masking.loss import LossSum
from r2mae.masking.pattern import Mask, Role
from r2mae.masking.replacement import replace_hidden
from r2mae.masking.vocabulary_loss import vocabulary_loss, vocabulary_top
from r2mae.models.cost import block_flops, block_saved, linear_flops
from r2mae.models.protocol import MaskedOutput, Memory
from r2mae.models.segments import Asked, Layout, count_in_segments, lay_out
from r2mae.models.text_blocks import RUNNERS

Pooling = Literal["mean", "cls"]
_BAG = 4096  # token counts are folded into as many features for the baseline


class Vocabulary(NamedTuple):
    """What a model has to know of its tokenizer."""

    size: int
    mask: int
    pad: int
    special: tuple[int, ...]  # never hidden, mask and padding among them


class LanguageEncoder(nn.Module):
    """An encoder of transformers. Implements `Encoder`; a batch is what `datasets.language` loads.

    base: a BertModel, RobertaModel or ModernBertModel. pooling: of a text's features, over its tokens or its first one.
    """

    is_special: Tensor

    def __init__(
        self, base: Any, vocabulary: Vocabulary, pooling: Pooling = "mean"
    ) -> None:
        super().__init__()
        self.vocabulary, self.pooling = vocabulary, pooling
        is_special = torch.zeros(
            vocabulary.size, dtype=torch.bool, device="cpu"
        )  # values, on meta too
        is_special[torch.tensor(vocabulary.special, device="cpu")] = True
        self.register_buffer("is_special", is_special, persistent=False)
        self._runner: Any = None
        self.compiled = False
        self._put(base)

    def _put(self, base: Any) -> None:
        self.base = base

    @property
    def runner(self) -> Any:
        """How this architecture computes its blocks."""
        if self._runner is None:
            self._runner = RUNNERS[self.base.config.model_type](self.base)
        return self._runner

    @property
    def width(self) -> int:
        """Features of a text, D."""
        return int(self.base.config.hidden_size)

    def encode(
        self,
        ids: Tensor,
        batch: dict[str, Any],
        layout: Layout,
        asked: Asked | None = None,
    ) -> Tensor:
        """(T, D) of token ids (B, N) in the layout's order, or (M, D) at the asked positions."""
        runner, slots, types = self.runner, layout.packing.slots, batch.get("types")
        hidden: Tensor = runner.embed(
            ids.flatten()[slots],
            layout.places,
            None if types is None else types.flatten()[slots],
        )
        hidden = self.enrich(hidden, batch, layout)
        last = len(runner.blocks) - 1
        for number in range(last + 1):
            hidden = runner.block(
                number, hidden, layout, asked if number == last else None, self.compiled
            )
        finished: Tensor = runner.finish(hidden)
        return finished

    def enrich(self, hidden: Tensor, batch: dict[str, Any], layout: Layout) -> Tensor:  # noqa: ARG002 - for subclasses
        """(T, D) embeddings with what else is known of each token: here nothing."""
        return hidden

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole texts: the mean over their tokens, or the first token's."""
        ids = batch["input_ids"]
        layout = lay_out(batch["segment_starts"], batch["segment_lengths"], ids.device)
        hidden = self.encode(ids, batch, layout)
        padded = hidden.new_zeros(ids.numel(), hidden.shape[1]).index_copy(
            0, layout.packing.slots, hidden
        )
        padded = padded.view(*ids.shape, -1)
        if self.pooling == "cls":
            return padded[:, 0]
        rows = layout.packing.slots // ids.shape[1]
        counts = padded.new_zeros(len(ids)).index_add(
            0, rows, padded.new_ones(len(rows))
        )
        means: Tensor = padded.sum(dim=1) / counts[:, None].clamp(min=1)
        return means

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) log1p of how often each token occurs, folded where the vocabulary is large."""
        ids = batch["input_ids"]
        counts = torch.zeros(
            len(ids), min(_BAG, self.vocabulary.size), device=ids.device
        )
        return torch.log1p(
            counts.scatter_add_(
                1, ids % counts.shape[1], (~self.is_special[ids]).float()
            )
        )

    def build_head(self, num_classes: int, dropout: float) -> nn.Sequential:
        """The head that transformers puts on this architecture for sequences: dropout, map, activation, norm, map."""
        config, width = self.base.config, self.width
        parts: list[nn.Module] = [nn.Dropout(dropout)]
        if config.model_type == "modernbert":
            parts += [nn.Linear(width, width, bias=config.classifier_bias), nn.GELU()]
            parts += [nn.LayerNorm(width, eps=config.norm_eps, bias=config.norm_bias)]
        else:
            parts += [nn.Linear(width, width), nn.Tanh(), nn.Identity()]
        last = nn.Linear(width, num_classes)
        for layer in (parts[1], last):
            nn.init.trunc_normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return nn.Sequential(*parts, last)

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter."""
        depths, last = {}, len(self.runner.blocks) + 1
        blocks = (
            "layers."
            if self.base.config.model_type == "modernbert"
            else "encoder.layer."
        )
        for name, _ in self.base.named_parameters():
            inner = name.removeprefix(blocks)
            depth = (
                int(inner.split(".")[0]) + 1
                if inner != name
                else 0
                if name.startswith("embeddings.")
                else last
            )
            depths[f"{self._prefix()}{name}"] = depth
        return depths

    def _prefix(self) -> str:
        return "base."

    def compile_blocks(self) -> None:
        """What precedes attention and what follows it are two graphs that all blocks and lengths share."""
        self.compiled = True


class MaskedLanguageModel(LanguageEncoder):
    """Hidden tokens are predicted; last block and head run at hidden positions alone. Implements `MaskedModel`.

    whole: a BertForMaskedLM, RobertaForMaskedLM or ModernBertForMaskedLM.
    length: tokens of a row, N.
    replacement: shares of hidden tokens that become [MASK] and another token; the rest stay as they are.

    Other tokens are drawn from those that are not special.
    """

    gathers = True

    def __init__(
        self,
        whole: Any,
        vocabulary: Vocabulary,
        *,
        length: int,
        replacement: tuple[float, float] = (1.0, 0.0),
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__(whole, vocabulary, pooling)
        self.grid = (length,)
        self.replacement = replacement
        self.ordinary = np.setdiff1d(
            np.arange(vocabulary.size), np.asarray(vocabulary.special)
        )

    def _put(self, base: Any) -> None:
        self.whole = base

    @property
    def base(self) -> Any:
        """The encoder inside."""
        return self.whole.base_model

    def _prefix(self) -> str:
        return f"whole.{self.whole.base_model_prefix}."

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) a `Role` each: special tokens are seen, padding is absent."""
        ids = batch["input_ids"]
        special = self.is_special.to(ids.device)[ids]
        roles = torch.where(special, int(Role.SEEN), int(Role.HIDEABLE)).to(torch.int8)
        return roles.masked_fill(ids == self.vocabulary.pad, int(Role.ABSENT))

    def tokens(self, batch: dict[str, Any]) -> Tensor:  # noqa: ARG002 - as for every modality
        """Refused: tokens are names, and the theory is of numbers."""
        raise InputError(
            "modality must be of numbers for the linear theory, got language, whose tokens are names."
        )

    def hide(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """What the network is given, "seen_ids" (B, N), a function of (seed, position), and counts for the layout."""
        seen = replace_hidden(
            batch["input_ids"],
            mask.is_masked,
            self.vocabulary.mask,
            torch.from_numpy(self.ordinary),
            self.replacement,
            seed,
            batch["positions"],
        )
        return {"seen_ids": seen, "asked_counts": self._asked_counts(batch, mask)}

    @staticmethod
    def _asked_counts(batch: dict[str, Any], mask: Mask) -> Any:
        slots = mask.is_masked.flatten().nonzero()[:, 0].cpu().numpy()
        return count_in_segments(slots, batch["segment_starts"])

    def features(self, batch: dict[str, Any], mask: Mask) -> tuple[Tensor, Tensor]:
        """(what the head gives the vocabulary (M, D), slots (M,) of the flattened rows), padding left out."""
        ids = batch["input_ids"]
        seen = batch.get("seen_ids")
        counts = batch.get("asked_counts")
        seen = (
            ids.masked_fill(mask.is_masked, self.vocabulary.mask)
            if seen is None
            else seen
        )
        counts = self._asked_counts(batch, mask) if counts is None else counts
        layout = lay_out(batch["segment_starts"], batch["segment_lengths"], ids.device)
        slots = (
            mask.masked
            + torch.arange(len(ids), device=ids.device)[:, None] * ids.shape[1]
        )
        slots = (
            slots.flatten() if mask.masked_weight is None else slots[mask.masked_weight]
        )
        asked, order = layout.asked(slots, ids.numel(), counts)
        return self._transform(self.encode(seen, batch, layout, asked)), slots[order]

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(what is asked for, what each weighs or None for all alike), both (M,), row by row."""
        return batch["input_ids"][mask.is_masked], None

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Loss over hidden tokens; predictions (M,): the likeliest token at each, row by row.

        Predictions are computed where no gradient is: training asks for none.
        """
        features, slots = self.features(batch, mask)
        weight, bias = self._vocabulary_map()
        targets = batch["input_ids"].flatten()[slots]
        loss = vocabulary_loss(features, weight, bias, targets)
        predictions = targets.new_zeros(0)
        if not torch.is_grad_enabled():
            predictions = vocabulary_top(features[slots.argsort()], weight, bias)[1][
                :, 0
            ]
        return MaskedOutput(
            LossSum(loss, loss.new_full((), float(len(targets)))), predictions
        )

    def likeliest(
        self, batch: dict[str, Any], mask: Mask, count: int
    ) -> tuple[Tensor, Tensor]:
        """(probabilities, tokens), (M, count) at each hidden position, row by row."""
        features, slots = self.features(batch, mask)
        order = slots.argsort()
        return vocabulary_top(features[order], *self._vocabulary_map(), count)

    def _transform(self, hidden: Tensor) -> Tensor:
        kind, whole = self.base.config.model_type, self.whole
        if kind == "bert":
            return whole.cls.predictions.transform(hidden)  # type: ignore[no-any-return]
        if kind == "roberta":
            return whole.lm_head.layer_norm(
                nn.functional.gelu(whole.lm_head.dense(hidden))
            )  # type: ignore[no-any-return]
        return whole.head(hidden)  # type: ignore[no-any-return]

    def _vocabulary_map(self) -> tuple[Tensor, Tensor | None]:
        last = self.whole.get_output_embeddings()
        return last.weight, last.bias

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:  # noqa: ARG002
        """No pictures."""
        return None

    def training_flops(self, num_visible: int) -> int:
        """Operations of forward and backward for a row of one document with num_visible tokens left in sight."""
        width, length = self.width, self.grid[0]
        hidden, asked, depth = (
            self._hidden_width(),
            max(0, self.grid[0] - num_visible),
            len(self.runner.blocks),
        )
        last = linear_flops(length, width, 2 * width) + 2 * linear_flops(
            asked, width, width
        )
        last += 2 * linear_flops(asked, width, hidden) + 7 * 2 * asked * length * width
        head = linear_flops(asked, width, width) + linear_flops(
            asked, width, self.vocabulary.size
        )
        return (depth - 1) * block_flops(length, width, hidden) + last + head

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that a row keeps for backward, roughly: logits are not among them."""
        asked, heads = (
            max(0, self.grid[0] - num_visible),
            self.base.config.num_attention_heads,
        )
        blocks = block_saved(self.grid[0], self.width, self._hidden_width(), heads)
        times = len(self.runner.blocks) - 1
        last = block_saved(asked, self.width, self._hidden_width(), heads)
        return Memory(
            blocks.wide * times + last.wide, blocks.narrow * times + last.narrow
        )

    def _hidden_width(self) -> int:
        """Of the MLP; a gated one has three maps where a plain one has two."""
        config = self.base.config
        return int(
            config.intermediate_size * (1.5 if config.model_type == "modernbert" else 1)
        )
