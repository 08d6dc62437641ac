"""One rule of precision: that of Lightning in training."""

from typing import get_args

import pytest
import torch
from pytorch_lightning import Trainer

from r2mae.models.precision import autocast
from r2mae.schema.recipe import HardwareSection

PRECISIONS = get_args(HardwareSection.model_fields["precision"].annotation)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_is_the_context_of_training(precision):
    trainer = Trainer(
        accelerator="cpu", precision=precision, logger=False, barebones=True
    )
    one, other = torch.randn(2, 64, 64)
    with trainer.precision_plugin.forward_context():
        expected = one @ other
    with autocast("cpu", trainer.precision):
        product = one @ other
    assert product.dtype == expected.dtype
    assert torch.equal(product, expected)
    is_rounded = not torch.equal(product.float(), one @ other)
    assert is_rounded == (precision == "bf16-mixed")
