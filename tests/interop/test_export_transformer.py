"""The check of an exported model against the run."""

import pytest
import torch

from r2mae.errors import InputError
from r2mae.interop.export_transformer import _checked


@pytest.mark.parametrize("wrong", [1.01, float("nan")])
def test_other_logits_are_refused(wrong):
    ours = torch.ones(2, 3)
    theirs = ours.clone()
    assert _checked(ours, theirs) == 0
    theirs[1, 2] = wrong
    with pytest.raises(InputError, match="must compute the same logits"):
        _checked(ours, theirs)
