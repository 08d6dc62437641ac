"""An encoder of any modality under a classifier's head."""

from typing import Any

import torch
from torch import Tensor, nn

from r2mae.models.protocol import Encoder
from r2mae.models.rehearsal import rehearse


class Classifier(nn.Module):
    """Logits of C classes, or one number, from the pooled features of an encoder. B samples, D features.

    backbone: an `Encoder` that is an `nn.Module`.
    hidden: width of a hidden layer in the head; None makes the head one linear map.
    freeze: the encoder neither learns nor changes in any way: no dropout, no drop path, no batch statistics.

    Implements `Encoder`, so that a fine-tuned run can be probed and embedded like any other.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        *,
        hidden: int | None = None,
        dropout: float = 0.0,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        self.backbone: Encoder = backbone
        self.freeze = freeze
        own = (
            getattr(backbone, "build_head", None) if hidden is None else None
        )  # some architectures have one
        self.head = (
            own(num_classes, dropout)
            if own
            else build_head(backbone.width, num_classes, hidden, dropout)
        )
        if freeze:
            backbone.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode, of which a frozen encoder takes no part."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()  # type: ignore[attr-defined]
        return self

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.head(self.embed(batch))
        return logits

    @property
    def width(self) -> int:
        """Features of a sample, D."""
        return self.backbone.width

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features that the head sees."""
        return self.backbone.embed(batch)

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) raw input features."""
        return self.backbone.baseline(batch)

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter, by name; the head's parameters are not among them."""
        return {
            f"backbone.{name}": depth for name, depth in self.backbone.layers().items()
        }

    def compile_blocks(self) -> None:
        """Compile the encoder's blocks in place."""
        self.backbone.compile_blocks()

    def training_flops(self, example: dict[str, Any]) -> int:
        """Floating-point operations of forward and backward for a sample of an example of two; nothing is run."""

        def batch_of_two() -> tuple[Any, ...]:
            return (
                {
                    key: torch.zeros_like(value, device="cpu")
                    if isinstance(value, Tensor)
                    else value
                    for key, value in example.items()
                },
            )

        return rehearse(self, batch_of_two, Tensor.sum, bf16=False).flops // 2


def build_head(
    width: int, num_classes: int, hidden: int | None, dropout: float
) -> nn.Sequential:
    """(B, D) -> (B, C); its last map starts small, so that the first steps do not shake the encoder."""
    parts: list[nn.Module] = [nn.Dropout(dropout)]
    if hidden is not None:
        parts += [nn.Linear(width, hidden), nn.GELU()]
    last = nn.Linear(hidden or width, num_classes)
    nn.init.trunc_normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*parts, last)
