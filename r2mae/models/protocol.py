"""All that a modality's model implements, and all that the engine knows of it."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from r2mae.masking.loss import LossSum
from r2mae.masking.pattern import Mask


class MaskedOutput(NamedTuple):
    """Loss over hidden positions as (sum, count), and what was predicted at them, (B, M, ...)."""

    loss: LossSum
    predictions: Tensor


class Memory(NamedTuple):
    """Values that training a sample keeps, by how many: saved for backward, a sample."""

    wide: int  # kept in 4 bytes whatever the precision
    narrow: int  # kept in 2 bytes under bf16-mixed


class Encoder(Protocol):
    """What probes and fine-tuning know of a model. B samples, D features."""

    @property
    def width(self) -> int:
        """Features of a sample, D."""
        ...

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole samples, nothing hidden."""
        ...

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) raw input features that a probe of the encoder has to beat."""
        ...

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter, by name, 0 for the first: for layer-wise learning rates."""
        ...

    def compile_blocks(self) -> None:
        """Compile the repeated blocks in place."""
        ...


class MaskedModel(Encoder, Protocol):
    """A model that predicts hidden positions from visible ones. B samples, N positions, D features.

    Invariant, tested for every modality: changing the values of hidden positions changes no prediction.
    A model may have `hide(batch, mask, seed)`, run on the host: what it wants ready of what stands in hidden places.
    One that predicts names has `named_targets(batch, mask)`: what is asked for and what each weighs, (M,) row by row.
    """

    grid: tuple[
        int, ...
    ]  # how the N positions lie: (rows, columns), or (length,) where N may differ by batch
    gathers: bool  # whether forward reads the mask's indices, or is_masked alone

    def eligible(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) bool on the batch's device, positions that may be hidden; or a `Role` each."""
        ...

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N, P) the values of each position as they were read; what the linear theory looks at."""
        ...

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Predict what mask hides."""
        ...

    def paint(self, batch: dict[str, Any], mask: Mask) -> Tensor | None:
        """(B, 3, C, H, W) uint8: original, given, predicted; None where a modality has no pictures."""
        ...

    def training_flops(self, num_visible: int) -> int:
        """Floating-point operations of forward and backward for one sample; a multiply-add is two."""
        ...

    def saved_values(self, num_visible: int) -> Memory:
        """Activations that one sample keeps for backward."""
        ...
