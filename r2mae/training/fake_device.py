"""A CUDA device without a GPU: shapes and dtypes are computed, values are not.

torch's fake tensors report the device "cuda" and compute nothing, so operators raise the
errors of a GPU (tensors on two devices) without a driver. What works on the host keeps
its values: layouts of packed batches are built from real counts.

Differs from a GPU: no backward, since autograd asks the driver for a stream. On a fake
CPU backward runs, by the CPU's kernels.
"""

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
_CAPABILITY = (9, 0)  # of the device that is pretended, an H100
# Operators whose result the host must read before it can go on.
_WAITING = (
    "aten._local_scalar_dense",
    "aten.nonzero",
    "aten.masked_select",
    "aten.equal",
    "aten.unique",
    "aten._unique",
    "aten.repeat_interleave.Tensor",
)
_INDEXING = ("aten.index.", "aten.index_put")
_COPYING = ("aten._to_copy", "aten.copy_")


class FakeDevice(TorchDispatchMode):
    """Within, tensors on the device are fake; `waits` counts what makes the host wait for it.

    device: CUDA, or the CPU, on which autograd can run backward.
    waits: "operator at file:line  code" -> times; of CUDA alone.
    """

    def __init__(self, device: torch.device = CUDA) -> None:
        super().__init__()
        self.device = device
        self.waits: Counter[str] = Counter()
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._pinned: list[Tensor] = []  # kept alive, so that no id occurs twice

    def tensor(self, like: Tensor) -> Tensor:
        """A tensor on the device with the shape and dtype of another."""
        with self._mode:
            fake = torch.empty(like.shape, dtype=like.dtype, device=self.device)
        return fake.requires_grad_(like.requires_grad)

    def batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch on the device, copied from pinned memory as Lightning does."""
        from lightning_utilities.core.apply_func import apply_to_collection

        moved: dict[str, Any] = apply_to_collection(batch, Tensor, self.tensor)
        return moved

    def put(self, module: nn.Module) -> None:
        """Replace a module's parameters and buffers by fake ones on the device."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    fake = self.tensor(parameter.detach())
                    part._parameters[name] = nn.Parameter(fake, parameter.requires_grad)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = self.tensor(buffer)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = kwargs or {}, str(func)
        if name.startswith("aten._pin_memory"):
            self._pinned.append(args[0])
            return args[0]
        tensors = [
            leaf for leaf in tree_leaves((args, kwargs)) if torch.is_tensor(leaf)
        ]
        on_device = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        device = kwargs.get("device")
        to_device = device is not None and torch.device(device).type == "cuda"
        if not on_device and not to_device:
            return func(*args, **kwargs)
        if reason := self._waits_for(name, args, kwargs):
            self.waits[f"{reason} at {_place()}"] += 1
        if to_device:
            kwargs = kwargs | {"device": CUDA}
        with self._mode:
            return func(*args, **kwargs)

    def _waits_for(self, name: str, args: Any, kwargs: Any) -> str | None:
        """Why the host waits for the device in an operator; None where it does not."""
        if name.startswith(_WAITING):
            return name.removeprefix("aten.")
        if name.startswith(_INDEXING):
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                return "boolean index"
            if not all(_is_on_device(index) for index in indices):
                return "index on the host"
        if name.startswith(_COPYING):
            source = args[1] if name.startswith("aten.copy_") else args[0]
            target = kwargs.get("device", args[0].device)
            if _is_on_device(source):
                to_host = torch.device(target).type == "cpu"
                return "copy to the host" if to_host else None
            is_pinned = any(source is tensor for tensor in self._pinned)
            if source.ndim and not is_pinned:
                return "copy from memory that is not pinned"
        return None


@contextmanager
def fake_device(device: torch.device = CUDA) -> Iterator[FakeDevice]:
    """A `FakeDevice`. torch takes one on CUDA for a GPU and chooses kernels as for one."""
    fake = FakeDevice(device)
    with (
        patch("torch.cuda._lazy_init", lambda: None),
        patch("torch.cuda.is_bf16_supported", lambda *_, **__: True),
        patch("torch.cuda.get_device_capability", lambda *_: _CAPABILITY),
        patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        fake,
    ):
        yield fake


def _is_on_device(tensor: Tensor) -> bool:
    return isinstance(tensor, FakeTensor) and tensor.device.type == "cuda"


def _place() -> str:
    """File, line and code of r2mae that called the operator, or else of a library."""
    here, package = Path(__file__), Path(__file__).parent.parent
    frames = [
        frame
        for frame in traceback.extract_stack()
        if Path(frame.filename) != here and "/torch/" not in frame.filename
    ]
    own = [frame for frame in frames if package in Path(frame.filename).parents]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}  {frame.line}"
