"""What would make the host wait on a GPU, found without one."""

from contextlib import suppress

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)

from r2mae.training.fake_device import fake_device

WAITS = {
    "read a value": (lambda x, _: x.sum().item(), "_local_scalar_dense"),
    "branch": (lambda x, _: 1 if (x > 0).any() else 0, "_local_scalar_dense"),
    "boolean index": (lambda x, rows: x[rows], "boolean index"),
    "copy to the host": (lambda x, _: x.cpu(), "copy to the host"),
    "pageable copy": (lambda x, _: torch.ones(3).to(x.device) + x, "not pinned"),
    "index on the host": (lambda x, _: x[torch.tensor([0, 1])], "index on the host"),
}
FREE = {
    "pinned copy": lambda x, _: torch.ones(3).pin_memory().to(x.device) + x,
    "range": lambda x, _: torch.arange(3, device=x.device) + x,
    "fill by mask": lambda x, rows: x.masked_fill(rows[:, None], 0),
    "host work": lambda *_: bool(torch.ones(3).sum() > 2),
    "index": lambda x, rows: x[rows.long()],
}


def waits_of(function):
    with fake_device() as device:
        x = device.tensor(torch.ones(4, 3))
        rows = device.tensor(torch.ones(4, dtype=torch.bool))
        # There is no value to go on with.
        with suppress(DataDependentOutputException, DynamicOutputShapeException):
            function(x, rows)
    return device.waits


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_named_with_its_line(name):
    function, reason = WAITS[name]
    ((place, count),) = waits_of(function).items()
    assert count == 1
    assert reason in place
    assert "test_fake_device.py:" in place


@pytest.mark.parametrize("name", FREE)
def test_what_does_not_wait_is_not_named(name):
    assert not waits_of(FREE[name])


def test_tensors_on_two_devices_are_refused():
    with pytest.raises(RuntimeError, match="two devices"):
        waits_of(lambda x, _: x + torch.ones(3))


def test_autocast_is_that_of_a_gpu():
    with fake_device() as device, torch.autocast("cuda", dtype=torch.bfloat16):
        x = device.tensor(torch.ones(3, 3))
        assert (x @ x).dtype == torch.bfloat16
    assert not torch.cuda.is_initialized()
