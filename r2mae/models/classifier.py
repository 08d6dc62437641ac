"""Fine-tuning: an encoder of any modality under a classification head."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.models.meta_pass import run_on_meta
from r2mae.models.protocol import BuildsHead, Encoder


class Classifier(nn.Module):
    """Logits of C classes, or one number, from an encoder's features.

    backbone: an `Encoder` that is an `nn.Module`.
    hidden: width of a hidden layer in the head. None: the architecture's own head
        where it has one, otherwise one linear layer.
    freeze: train the head alone.
    ordinal: the classes have an order; the head ends in `OrderedLogits`.

    Parts without a trained parameter stay in eval mode: no dropout, no stochastic depth,
    fixed batch statistics.

    Implements `Encoder`, so a fine-tuned run can be probed and embedded like any other.
    Shapes: B samples, D features, C classes.
    """

    def __init__(
        self,
        backbone: Any,
        num_classes: int,
        *,
        hidden: int | None = None,
        dropout: float = 0.0,
        freeze: bool = False,
        ordinal: bool = False,
    ) -> None:
        super().__init__()
        self.backbone: Encoder = backbone
        num_outputs = 1 if ordinal else num_classes
        if hidden is None and isinstance(backbone, BuildsHead):
            self.head = backbone.build_head(num_outputs, dropout)
        else:
            self.head = build_head(backbone.width, num_outputs, hidden, dropout)
        if ordinal:
            self.head.append(OrderedLogits(num_classes))
        if freeze:
            backbone.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Classifier":
        """Set training mode; frozen parts stay in eval mode."""
        super().train(mode)
        for part in self.modules():
            parameters = list(part.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                part.eval()
        return self

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.head(self.embed(batch))
        return logits

    @property
    def width(self) -> int:
        """Number of features of a sample, D."""
        return self.backbone.width

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features, the head's input."""
        return self.backbone.embed(batch)

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, K), is_token (B, T)) of the encoder."""
        return self.backbone.embed_tokens(batch)

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, F) raw input features."""
        return self.backbone.baseline(batch)

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder; the head's are left out."""
        depths = self.backbone.layers()
        return {f"backbone.{name}": depth for name, depth in depths.items()}

    def compile_blocks(self) -> None:
        """Compile the encoder's blocks in place."""
        self.backbone.compile_blocks()

    def recompute_blocks(self) -> None:
        """Recompute activations of the encoder's blocks in backward."""
        self.backbone.recompute_blocks()

    def training_flops(self, example: dict[str, Any]) -> int:
        """Floating-point operations of forward and backward for one sample.

        example: a batch of two samples; only its shapes and dtypes are used.
        """

        def arguments() -> tuple[dict[str, Any]]:
            return ({key: _fake(value) for key, value in example.items()},)

        return run_on_meta(self, arguments, Tensor.sum, bf16=False).flops // 2


def _fake(value: Any) -> Any:
    """A tensor's shape and dtype; anything else unchanged."""
    if isinstance(value, Tensor):
        return torch.zeros_like(value, device="cpu")
    return value


class WordClassifier(Classifier):
    """Logits (W, C) of the words of a batch of texts.

    A batch's "words" (W,) are where the first tokens of words are in its flattened rows.
    backbone: has `build_word_head`.
    """

    def __init__(
        self, backbone: Any, num_classes: int, *, dropout: float, freeze: bool
    ) -> None:
        super().__init__(backbone, num_classes, dropout=dropout, freeze=freeze)
        self.head = backbone.build_word_head(num_classes, dropout)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits (W, C), in the order of the words."""
        tokens = self.backbone.embed_tokens(batch)[0].flatten(0, 1)
        logits: Tensor = self.head(tokens.index_select(0, batch["words"]))
        return logits


class SpanClassifier(WordClassifier):
    """Logits (B, N, 2) of the first and the last token of an answer in a text of N tokens.

    A batch's "is_candidate" (B, N) says where an answer may start or end; the first token
    stands for no answer. Logits elsewhere are -inf.

    Source: `...ForQuestionAnswering` of transformers.
    Differs: transformers' loss is over all tokens, the question's and padding among them.
    """

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits (B, N, 2)."""
        logits: Tensor = self.head(self.backbone.embed_tokens(batch)[0])
        return logits.masked_fill(~batch["is_candidate"][..., None], -torch.inf)


class OrderedLogits(nn.Module):
    """A score (B, 1) -> log probabilities (B, C) of C classes with an order.

    P(class > k) = sigmoid(score - threshold_k), with C - 1 increasing thresholds. Softmax
    of the outputs gives the probabilities, and cross-entropy the likelihood.

    Source: McCullagh 1980, the proportional-odds model.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes
        self.lowest = nn.Parameter(torch.zeros(1))
        self.raw_gaps = nn.Parameter(torch.zeros(num_classes - 2))
        self.start_at(torch.full((num_classes,), 1 / num_classes))

    @torch.no_grad()
    def start_at(self, shares: Tensor) -> None:
        """Set the thresholds at which a score of 0 gives these probabilities (C,), all above 0."""
        thresholds = torch.logit(shares.double().cumsum(0)[:-1] / shares.double().sum())
        gaps = thresholds.diff()
        self.lowest.copy_(thresholds[:1])
        self.raw_gaps.copy_(gaps + torch.log(-torch.expm1(-gaps)))  # of softplus

    def forward(self, score: Tensor) -> Tensor:
        """Log probabilities, in float32 at least: differences of sigmoids, without cancellation."""
        score = score if score.dtype == torch.float64 else score.float()
        gaps = F.softplus(self.raw_gaps).to(score.dtype)
        above = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)]) + self.lowest
        exceeds = F.logsigmoid(score - above)
        is_below = F.logsigmoid(above - score)
        between = torch.log(-torch.expm1(-gaps))
        return F.pad(exceeds, (1, 0)) + F.pad(is_below, (0, 1)) + F.pad(between, (1, 1))


def build_head(
    width: int, num_classes: int, hidden: int | None, dropout: float
) -> nn.Sequential:
    """(B, D) -> (B, C): dropout, an optional hidden layer, a linear layer."""
    layers: list[nn.Module] = [nn.Dropout(dropout)]
    if hidden is not None:
        layers += [nn.Linear(width, hidden), nn.GELU()]
    last = nn.Linear(hidden or width, num_classes)
    # Near-zero logits at first: the encoder gets small gradients until the head fits.
    nn.init.trunc_normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _encoder: type[Encoder] = Classifier
