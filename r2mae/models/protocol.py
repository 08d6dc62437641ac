"""The interface between the engine and the models of each modality.

`Encoder` serves probes, embeddings and fine-tuning. `MaskedModel` adds what
pretraining calls. Optional methods have protocols of their own: `PredictsClasses`,
`BuildsHead`, `ReadsLayers`, `PoolsTokens` and `HasBlocks`. Test for them with
`isinstance(model, BuildsHead)`.

Shapes: B samples, N positions, M hidden positions, P values of a position, D features.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from r2mae.masking.loss import LossSum
from r2mae.masking.mask import Mask
from r2mae.models.masking_rules import MaskingRules
from r2mae.models.pooling import Pool


class MaskedOutput(NamedTuple):
    """What a masked model returns: the loss as (sum, count), and its predictions."""

    loss: LossSum  # over hidden positions
    predictions: Tensor  # (B, M, ...), or (M,) row by row


class Memory(NamedTuple):
    """Activations of one sample that autograd saves for backward, in values."""

    wide: int  # 4 bytes each at any precision
    narrow: int  # 2 bytes each under bf16-mixed, otherwise 4


class Encoder(Protocol):
    """A model that turns samples into features. Probes and fine-tuning need no more."""

    @property
    def width(self) -> int:
        """Number of features of a sample, D."""
        ...

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of complete samples; nothing is hidden."""
        ...

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, K), is_token (B, T) bool), from which `embed` is pooled.

        is_token is False for padding. T varies by batch. A model without tokens returns
        its features as the only one.
        """
        ...

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) raw input features, which a probe of the encoder is compared with."""
        ...

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, 0 first. Read once, for layer-wise learning rates."""
        ...

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place. Called once, before training."""
        ...

    def recompute_blocks(self) -> None:
        """Recompute activations of repeated blocks in backward (`models.recompute`).

        Called once, before training.

        Raises: InputError for a model without such blocks.
        """
        ...


class MaskedModel(Encoder, Protocol):
    """An encoder that predicts hidden positions from visible ones.

    Invariant, tested for every modality: the values at hidden positions change no
    prediction.
    """

    @property
    def grid(self) -> tuple[int, ...]:
        """Layout of the N positions: (rows, columns), or (length,) where N varies by batch."""
        ...

    @property
    def masking(self) -> MaskingRules:
        """What drawing a mask needs to know. Used in DataLoader workers."""
        ...

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N, P) values of each position as read. Called by the linear theory.

        Where positions hold categories, such as words or bases: (B, N) int64 ids, -1 at
        positions that are never masked.

        Raises: InputError for data that the theory does not describe.
        """
        ...

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of visible tokens; without a mask, of complete samples."""
        ...

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, F) raw input features of visible tokens; without a mask, of complete samples.

        A feature that is the value of a hidden token is NaN, which
        `Wing.baseline_features` replaces. Counts are those of visible tokens, or expected.
        """
        ...

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """As of an `Encoder`; hidden positions that the model does not compute are left out."""
        ...

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Predict what the mask hides. Called at every training step."""
        ...

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:
        """(B, 3, C, H, W) uint8 pictures: original, masked, predicted.

        None where a modality has no pictures. Called when pictures are logged. No hidden
        value may reach the predicted picture; an attribute `picture_note` becomes its
        caption.
        """
        ...

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward for one sample.

        A multiply-add counts as two. Called when a run is planned.
        """
        ...

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one sample keeps for backward. Called when a run is planned."""
        ...


@runtime_checkable
class PredictsClasses(Protocol):
    """Optional: a model that predicts a class at each position: a token or a base."""

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(labels (M,), weights (M,) or None for equal weights), row by row.

        Called to measure how often each class occurs among the targets.
        """
        ...


@runtime_checkable
class BuildsHead(Protocol):
    """Optional: an encoder whose architecture comes with a classification head."""

    def build_head(self, num_classes: int, dropout: float) -> nn.Sequential:
        """(B, D) -> (B, C). Called by `Classifier` when the recipe sets no `hidden`."""
        ...


@runtime_checkable
class ReadsLayers(Protocol):
    """Optional: an encoder whose features can be read from any of its layers."""

    @property
    def num_layers(self) -> int:
        """Number of layers, such as transformer blocks; `embed` reads the last one."""
        ...

    def at_layer(self, layer: int) -> Any:
        """An encoder that shares all weights and reads layer 1 to num_layers.

        A final norm, if there is one, is applied to earlier layers too.
        """
        ...


@runtime_checkable
class PoolsTokens(Protocol):
    """Optional: an encoder whose `embed` pools tokens in one of several ways.

    pooling: the one in use, a `Pool`; a copy of the model may be given another one.
    """

    pooling: Any

    @property
    def poolings(self) -> tuple[Pool, ...]:
        """Ways of pooling that the architecture has."""
        ...


@runtime_checkable
class HasBlocks(Protocol):
    """Optional: an encoder of repeated blocks, for `tune.lora` and `tune.last_layers`.

    LoRA replaces the linear layers inside them, which must be called as modules.
    """

    @property
    def blocks(self) -> nn.Sequential | nn.ModuleList | None:
        """The blocks, from the input on; None for an architecture without."""
        ...
