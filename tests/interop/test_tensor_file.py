from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file

from r2mae.errors import InputError
from r2mae.interop.tensor_file import read_tensor_file

STATE = {"norm.weight": torch.arange(3.0)}


class Unknown:
    """A class that torch does not load without running code."""


@pytest.mark.parametrize(
    "content",
    [
        STATE | {"epoch": 3},
        {"model": STATE, "optimizer": {}, "args": Namespace(lr=0.1)},
        {"state_dict": {"teacher": STATE}},
        {"model_ema": {"other": torch.zeros(1)}, "model": STATE},
    ],
    ids=["plain", "beside an optimizer", "nested twice", "before its average"],
)
def test_the_state_dict_of_the_model_is_read(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    read = read_tensor_file(tmp_path / "model.pth")
    assert list(read) == list(STATE)
    assert torch.equal(read["norm.weight"], STATE["norm.weight"])


def test_safetensors_are_read_as_they_are(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    assert list(read_tensor_file(tmp_path / "model.safetensors")) == list(STATE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "must be a file of named tensors, got one Tensor in"),
        ([torch.zeros(3)], "must be a file of named tensors, got one list in"),
        ({"model": STATE, "args": Unknown()}, r"got pickled .*\.Unknown in"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(InputError, match=message):
        read_tensor_file(tmp_path / "model.pth")
