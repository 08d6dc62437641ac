"""Files of weights that others wrote, read without running their code."""

from argparse import Namespace
from pathlib import Path, PosixPath
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from r2mae.errors import InputError

# Keys of files that hold a state dict beside an optimizer's or another model's, in the
# order in which they are looked for.
_STATE_KEYS = ("model", "state_dict", "teacher", "model_ema", "state_dict_ema")
# What training scripts save beside tensors. Loading these classes runs no code.
_SAFE_CLASSES: list[Any] = [Namespace, PosixPath]


def read_tensor_file(path: Path) -> dict[str, Tensor]:
    """The state dict of a file; of one with several, that of the model.

    Raises: InputError for a file that torch does not load without running code, or
        without names of tensors.
    """
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    with torch.serialization.safe_globals(_SAFE_CLASSES):
        try:
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError:
            raise _not_plain(path) from None
    if not isinstance(content, dict):
        raise InputError(
            f"model.init_from must be a file of named tensors, got one {type(content).__name__} "
            f"in {str(path)!r}. Save the state dict: torch.save(model.state_dict(), FILE)."
        )
    for _ in range(len(_STATE_KEYS)):
        nested = (key for key in _STATE_KEYS if isinstance(content.get(key), dict))
        key = next(nested, None)
        if key is None:
            break
        content = content[key]
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def _not_plain(path: Path) -> InputError:
    """The error for a file that torch does not load without running code."""
    try:
        classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        classes = []
    if not classes:
        return InputError(
            f"model.init_from must be readable, got {str(path)!r}, which torch cannot "
            "load. Give a .pth or .bin file that torch.save wrote, or .safetensors."
        )
    names = ", ".join(classes[:3])
    return InputError(
        "model.init_from must be a file of tensors and plain values, got pickled "
        f"{names} in {str(path)!r}. Save the state dict alone: "
        "torch.save(model.state_dict(), FILE)."
    )
