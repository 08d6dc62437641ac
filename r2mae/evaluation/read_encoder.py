"""An encoder as a `ReadOut` describes it: from one of its layers, pooled or concatenated.

Shapes: B samples, T tokens of K features.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.evaluation.read_out import Layer, ReadOut
from r2mae.masking.mask import Mask
from r2mae.models.classifier import Classifier
from r2mae.models.partial_copy import copy_with
from r2mae.models.pooling import Pool
from r2mae.models.pooling import pool as pool_tokens
from r2mae.models.protocol import PoolsTokens, ReadsLayers

MOST_FEATURES = 16_384  # of concatenated tokens


def read_encoder(model: Any, read_out: ReadOut) -> Any:
    """An encoder that shares the model's weights and returns features as described.

    Raises: InputError for a layer or pooling that the model does not have.
    """
    encoder = model.backbone if isinstance(model, Classifier) else model
    if read_out.layer != "last":
        number = layer_number(encoder, read_out.layer)
        if isinstance(encoder, ReadsLayers):
            encoder = encoder.at_layer(number)
    return encoder if read_out.pool is None else _pooled(encoder, read_out.pool)


def num_layers(model: Any) -> int:
    """Layers of a model that can be read; 1 where it has no method for it."""
    encoder = model.backbone if isinstance(model, Classifier) else model
    return encoder.num_layers if isinstance(encoder, ReadsLayers) else 1


def layer_number(model: Any, layer: Layer) -> int:
    """A layer's number, counted from 1.

    Raises: InputError for a layer that the model does not have.
    """
    count = num_layers(model)
    number = count if layer == "last" else layer + count + 1 if layer < 0 else layer
    if not 1 <= number <= count:
        raise InputError(
            f"--layer must be 1 to {count}, or -1 to -{count}, for "
            f"{_name(model)}, got {layer}. Use another layer, or last."
        )
    return number


def _pooled(encoder: Any, pool: Pool) -> Any:
    if isinstance(encoder, PoolsTokens) and pool in encoder.poolings:
        return copy_with(encoder, pooling=pool)  # type: ignore[type-var]
    if pool == "cls":
        raise InputError(
            f"--pool must be mean or concat for {_name(encoder)}, which has no class "
            f"token, got {pool}."
        )
    return TokenReader(encoder, concatenate=pool == "concat")


def _name(model: Any) -> str:
    encoder = model.backbone if isinstance(model, Classifier) else model
    return type(encoder).__name__


class TokenReader(nn.Module):
    """Features of a sample: the mean of an encoder's tokens, or all of them in a row.

    Implements `Encoder` and `MaskedModel` as far as probes call them.
    Concatenated tokens that a mask hides, and the model leaves out, are NaN.
    """

    def __init__(self, model: Any, *, concatenate: bool) -> None:
        super().__init__()
        self.model = model
        self.concatenate = concatenate
        self.length: int | None = None  # tokens of a complete sample, once seen

    @property
    def masking(self) -> Any:
        """The model's."""
        return self.model.masking

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, K), is_token (B, T)) of the model."""
        masks = () if mask is None else (mask,)
        tokens: tuple[Tensor, Tensor] = self.model.embed_tokens(batch, *masks)
        return tokens

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, K), or concatenated (B, T * K).

        Raises: InputError for concatenated tokens whose number differs or is too large.
        """
        tokens, is_token = self.embed_tokens(batch, mask)
        if not self.concatenate:
            return pool_tokens(tokens, is_token)
        if mask is not None and self._leaves_out(tokens):
            tokens, is_token = _with_hidden(tokens, is_token, mask)
        self._check(tokens, is_token)
        return tokens.flatten(1)

    def _leaves_out(self, tokens: Tensor) -> bool:
        return self.length is not None and tokens.shape[1] < self.length

    def _check(self, tokens: Tensor, is_token: Tensor) -> None:
        _, length, width = tokens.shape
        counts = is_token.sum(dim=1)
        smallest = int(counts.min())
        expected = self.length or length
        if smallest != length or length != expected:
            other = smallest if smallest != length else expected
            raise InputError(
                "--pool concat must be given for samples with equal numbers of tokens, "
                f"got {other} and {length} tokens. Use --pool mean."
            )
        if length * width > MOST_FEATURES:
            raise InputError(
                f"--pool concat must give at most {MOST_FEATURES:,} features a sample, "
                f"got {length:,} tokens of {width:,}. Use --pool mean."
            )
        self.length = length


def _with_hidden(tokens: Tensor, is_token: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
    """Visible tokens (B, R + V, K) at their places among all (B, R + N, K); others NaN.

    R: tokens before those of positions, such as a class token.
    """
    prefix = tokens.shape[1] - mask.visible.shape[1]
    count = mask.is_masked.shape[1]
    slots = torch.where(mask.is_visible, mask.visible, count)
    slots = slots[:, :, None].expand(-1, -1, tokens.shape[2])
    shape = (len(tokens), count + 1, tokens.shape[2])  # padding goes to an extra slot
    placed = tokens.new_full(shape, torch.nan).scatter(1, slots, tokens[:, prefix:])
    joined = torch.cat([tokens[:, :prefix], placed[:, :count]], dim=1)
    is_first = is_token[:, :prefix]
    return joined, F.pad(is_first, (0, count), value=True)
