"""A BERT, RoBERTa, ModernBERT or ESM of transformers as an encoder over packed documents.

Shapes: B rows, N tokens of a row, T tokens in all, M queries, D width.
"""

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from r2mae.models.padded import PaddedRows
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import Pooling, pool
from r2mae.models.recompute import recompute
from r2mae.models.runners import RUNNERS
from r2mae.models.segments import Layout, Queries, lay_out

_BASELINE_FEATURES = 4096  # larger vocabularies are folded (hashed) into as many


class Vocabulary(NamedTuple):
    """The part of a tokenizer that a model needs."""

    size: int
    mask: int
    pad: int
    special: tuple[int, ...]  # ids that are never hidden, mask and padding among them


class LanguageEncoder(nn.Module):
    """Features of texts from an encoder of transformers. Implements `Encoder`.

    base: a BertModel, RobertaModel, ModernBertModel or EsmModel.
    pooling: "mean" over a text's tokens, or "cls" for the first token.

    A batch holds "input_ids" (B, N), and "segment_starts", "segment_lengths" (S,) of the
    documents in its flattened rows.
    """

    is_special: Tensor
    poolings: tuple[Pooling, ...] = ("mean", "cls")

    def __init__(
        self, base: Any, vocabulary: Vocabulary, pooling: Pooling = "mean"
    ) -> None:
        super().__init__()
        self.vocabulary, self.pooling = vocabulary, pooling
        # On the CPU even where the model is built on meta: the buffer is not loaded.
        is_special = torch.zeros(vocabulary.size, dtype=torch.bool, device="cpu")
        is_special[torch.tensor(vocabulary.special, device="cpu")] = True
        self.register_buffer("is_special", is_special, persistent=False)
        self._runner: Any = None
        self.compiled = False
        self._set_base(base)

    def _set_base(self, base: Any) -> None:
        self.base = base

    @property
    def runner(self) -> Any:
        """The packed computation of this architecture's blocks."""
        if self._runner is None:
            self._runner = RUNNERS[self.base.config.model_type](self.base)
        return self._runner

    @property
    def width(self) -> int:
        """Number of features of a text, D."""
        return int(self.base.config.hidden_size)

    def encode(
        self,
        ids: Tensor,
        batch: dict[str, Any],
        layout: Layout | PaddedRows,
        queries: Queries | None = None,
    ) -> Tensor:
        """Token ids (B, N) -> (T, D) in the layout's order, or (M, D) at the queries."""
        runner, slots, types = self.runner, layout.slots, batch.get("types")
        types = None if types is None else types.flatten()[slots]
        hidden: Tensor = runner.embed(ids.flatten()[slots], layout.positions, types)
        hidden = self.enrich(hidden, batch, layout)
        last = len(runner.blocks) - 1
        for number in range(last + 1):
            # Only the last block may skip tokens: the others give it its keys and values.
            subset = queries if number == last else None
            hidden = runner.block(number, hidden, layout, subset, self.compiled)
        finished: Tensor = runner.finish(hidden)
        return finished

    def enrich(
        self, hidden: Tensor, batch: dict[str, Any], layout: Layout | PaddedRows
    ) -> Tensor:
        """(T, D) embeddings plus further features of each token; here unchanged."""
        return hidden

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of complete texts, pooled."""
        return pool(*self.encode_rows(batch), self.pooling)

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, N, D), is_token (B, N)), special tokens among them."""
        return self.encode_rows(batch)

    def encode_rows(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(B, N, D) encoded tokens of padded rows, and (B, N) which are no padding."""
        ids = batch["input_ids"]
        layout = lay_out(batch["segment_starts"], batch["segment_lengths"], ids.device)
        hidden = self.encode(ids, batch, layout)
        slots = layout.slots
        padded = hidden.new_zeros(ids.numel(), hidden.shape[1])
        padded = padded.index_copy(0, slots, hidden).view(*ids.shape, -1)
        is_token = torch.zeros(ids.numel(), dtype=torch.bool, device=ids.device)
        return padded, is_token.index_fill(0, slots, True).view(ids.shape)

    def embed_padded(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) as `embed`, for one text a row; no shape depends on the data.

        batch: "input_ids" and "attention_mask" (B, N) int64, instead of segments.
        """
        ids, is_token = batch["input_ids"], batch["attention_mask"] != 0
        hidden = self.encode(ids, batch, PaddedRows(is_token))
        return pool(hidden.unflatten(0, ids.shape), is_token, self.pooling)

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) bag of tokens: log1p of counts, special tokens left out."""
        ids = batch["input_ids"]
        num_features = min(_BASELINE_FEATURES, self.vocabulary.size)
        counts = torch.zeros(len(ids), num_features, device=ids.device)
        is_counted = (~self.is_special[ids]).float()
        return torch.log1p(counts.scatter_add_(1, ids % num_features, is_counted))

    def build_head(self, num_classes: int, dropout: float) -> nn.Sequential:
        """The architecture's head for sequence classification, as transformers has it."""
        config, width = self.base.config, self.width
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if config.model_type == "modernbert":
            layers += [nn.Linear(width, width, bias=config.classifier_bias), nn.GELU()]
            layers += [nn.LayerNorm(width, eps=config.norm_eps, bias=config.norm_bias)]
        else:
            # Identity keeps the last layer's index, and so its name, in both heads.
            layers += [nn.Linear(width, width), nn.Tanh(), nn.Identity()]
        last = nn.Linear(width, num_classes)
        for layer in (layers[1], last):
            nn.init.trunc_normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return nn.Sequential(*layers, last)

    def build_word_head(self, num_classes: int, dropout: float) -> nn.Sequential:
        """The architecture's head for token classification, as transformers has it."""
        if self.base.config.model_type == "modernbert":
            return self.build_head(num_classes, dropout)
        last = nn.Linear(self.width, num_classes)
        nn.init.trunc_normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Dropout(dropout), last)

    @property
    def blocks(self) -> Any:
        """Transformer blocks, from the input on."""
        return self.runner.blocks

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return len(self.runner.blocks)

    def at_layer(self, layer: int) -> Self:
        """The encoder up to a block, with a final norm where the architecture has one."""
        first = copy.copy(self.runner)
        first.blocks = first.blocks[:layer]
        return copy_with(self, _runner=first)

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder."""
        last = len(self.runner.blocks) + 1
        is_modern = self.base.config.model_type == "modernbert"
        blocks = "layers." if is_modern else "encoder.layer."
        depths = {}
        for name, _ in self.base.named_parameters():
            if name.startswith(blocks):
                depth = int(name.removeprefix(blocks).split(".")[0]) + 1
            else:
                depth = 0 if name.startswith("embeddings.") else last
            depths[f"{self._prefix()}{name}"] = depth
        return depths

    def _prefix(self) -> str:
        """What precedes the encoder's parameter names in this module's."""
        return "base."

    def compile_blocks(self) -> None:
        """Compile what precedes and what follows attention, one graph each.

        All blocks and lengths share them.
        """
        self.compiled = True

    def recompute_blocks(self) -> None:
        """Recompute activations of the blocks in backward."""
        recompute(self.runner.blocks)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, PoolsTokens, ReadsLayers

    _encoder: type[Encoder] = LanguageEncoder
    _reads_layers: type[ReadsLayers] = LanguageEncoder
    _pools_tokens: type[PoolsTokens] = LanguageEncoder
