"""An MLP that predicts hidden columns of a row. B rows, N columns, M of them hidden, D features."""

from typing import Any

import torch
from torch import Tensor, nn

from r2mae.masking.loss import masked_squared_error
from r2mae.masking.mask import Mask
from r2mae.models.masked_module import EncoderModule, MaskedModule
from r2mae.models.protocol import MaskedOutput


class TableEncoder(EncoderModule):
    """Values of a row, and which of them are hidden -> features."""

    def __init__(self, num_columns: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers_in_order = nn.Sequential(
            nn.Linear(2 * num_columns, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )

    def encode(self, values: Tensor, is_masked: Tensor) -> Tensor:
        """(B, D) features; hidden values do not enter."""
        visible = values.masked_fill(is_masked, 0)
        inputs = torch.cat([visible, is_masked.to(values.dtype)], dim=1)
        features: Tensor = self.layers_in_order(inputs)
        return features

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of visible columns; without a mask, of complete rows."""
        values = batch["values"]
        nothing = torch.zeros_like(values, dtype=torch.bool)
        return self.encode(values, nothing if mask is None else mask.is_masked)

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, N) the standardised columns themselves, NaN where hidden."""
        values: Tensor = batch["values"]
        return values if mask is None else values.masked_fill(mask.is_masked, torch.nan)


class MaskedTable(TableEncoder, MaskedModule):
    """Predicts the hidden columns of a row from the visible ones."""

    def __init__(self, num_columns: int, width: int) -> None:
        super().__init__(num_columns, width)
        self.grid = (num_columns,)
        self.predict = nn.Linear(width, num_columns)

    def example(self, num_samples: int) -> dict[str, Any]:
        """A batch of zeros."""
        return {"values": torch.zeros(num_samples, *self.grid)}

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N, 1): a column is a token with one value."""
        values: Tensor = batch["values"]
        return values[:, :, None]

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """Squared error at hidden columns; predictions (B, M, 1)."""
        values = batch["values"]
        predicted = self.predict(self.encode(values, mask.is_masked))
        predictions = predicted.gather(1, mask.masked)[:, :, None]
        targets = values.gather(1, mask.masked)[:, :, None]
        loss = masked_squared_error(predictions, targets, mask.masked_weight)
        return MaskedOutput(loss, predictions)
