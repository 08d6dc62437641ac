"""Which held-out loss a model card gives."""

from types import SimpleNamespace

import pytest

from r2mae.interop.model_card import _latest_loss
from r2mae.training.run_folder import RunFolder

ROWS = (
    "step,metric,value\n4,validation/loss,0.5\n5,train/loss,9\n8,validation/loss,0.25\n"
)


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"step": 8, "validation_loss": 0.25}, "0.25 (at step 8)"),
        ({"step": 6}, "0.5 (at step 4)"),
        ({"step": 3}, "not measured"),
    ],
)
def test_the_loss_is_the_latest_one_with_its_step(tmp_path, manifest, expected):
    (tmp_path / "metrics.csv").write_text(ROWS)
    loaded = SimpleNamespace(manifest=manifest, folder=RunFolder(tmp_path))
    assert _latest_loss(loaded) == expected
