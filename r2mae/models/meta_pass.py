"""Shapes and costs of any module by one forward and backward pass without data.

torch's fake tensors (the meta device) have a shape and a dtype but no values: the pass
allocates no memory and computes nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode


class MetaPass(NamedTuple):
    """Output and cost of one forward and backward pass."""

    output: Any  # of forward, as fake tensors
    flops: int  # forward and backward; a multiply-add counts as two
    wide: int  # values saved for backward in 4 bytes or more, parameters excluded
    narrow: int  # values saved for backward in 2 bytes
    without_gradient: frozenset[str]  # parameters that the loss does not depend on


def run_on_meta(
    module: nn.Module,
    make_arguments: Callable[[], tuple[Any, ...]],
    loss_of: Callable[[Any], Tensor],
    *,
    bf16: bool,
) -> MetaPass:
    """Run loss_of(module(*make_arguments())) forward and backward on fake tensors.

    The module and the random state stay unchanged.
    make_arguments: called where new tensors have no values, so any size is free; may
        give real tensors too.
    bf16: under bf16-mixed precision, as on a CPU.

    Raises: whatever the module raises for arguments of these shapes.
    """
    with torch.enable_grad(), _without_values(bf16):
        weights, buffers = _fake_parameters(module), _fake_buffers(module)
        saved = SavedStorages(weights)
        flops = {torch.ops.aten.convolution_backward: _convolution_backward_flops}
        counter = FlopCounterMode(display=False, custom_mapping=flops)
        with counter:
            with (
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
                saved_tensors_hooks(saved.add, lambda tensor: tensor),
            ):
                arguments = _without_data(make_arguments(), bf16)
                output = functional_call(module, weights | buffers, arguments)
            loss_of(output).backward()
    unused = frozenset(name for name, tensor in weights.items() if tensor.grad is None)
    return MetaPass(output, counter.get_total_flops(), *saved.counts(), unused)


@contextmanager
def _without_values(bf16: bool) -> Iterator[None]:
    """Within, new tensors have no values.

    Autocast leaves meta tensors alone, so bf16 needs fake CPU tensors (import: 1 s).
    """
    if bf16:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"):
            yield
    else:
        with torch.device("meta"):
            yield


def _without_data(arguments: tuple[Any, ...], bf16: bool) -> tuple[Any, ...]:
    """Arguments whose real tensors stay out of the pass; fake CPU tensors mix with them."""
    if bf16:
        return arguments
    moved: tuple[Any, ...] = tree_map_only(Tensor, lambda t: t.to("meta"), arguments)
    return moved


def _fake_parameters(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.empty(p.shape, dtype=p.dtype, requires_grad=p.requires_grad)
        for name, p in module.named_parameters()
    }


def _fake_buffers(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.empty(b.shape, dtype=b.dtype) for name, b in module.named_buffers()
    }


def _convolution_backward_flops(
    gradient_shape: Any,
    input_shape: Any,
    weight_shape: Any,
    *rest: Any,
    **_: Any,
) -> int:
    """As many as forward, once for the input's gradient and once for the weight's.

    Replaces torch's count, which ignores the groups of a grouped convolution.
    """
    transposed, output_mask = rest[4], rest[7]
    moved = input_shape if transposed else gradient_shape
    once = 2 * moved[0] * math.prod(moved[2:]) * math.prod(weight_shape)
    return int(once * (output_mask[0] + output_mask[1]))


class SavedStorages:
    """Storages that autograd saves for backward, each counted once, without parameters."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.excluded = {p.untyped_storage()._cdata for p in parameters.values()}
        # The storages are kept alive: a freed one's address could be reused and missed.
        self.storages: dict[int, tuple[Any, int]] = {}

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor, and give it back; a hook of autograd."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.excluded:
            self.storages[storage._cdata] = (storage, tensor.element_size())
        return tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return sum(storage.nbytes() for storage, _ in self.storages.values())

    def counts(self) -> tuple[int, int]:
        """(values of 4 bytes or more, values of 2 bytes).

        Masks of 1 byte count as a quarter of a wide value.
        """
        sizes = [(storage.nbytes(), size) for storage, size in self.storages.values()]
        wide = sum(nbytes // 4 for nbytes, size in sizes if size != 2)
        narrow = sum(nbytes // 2 for nbytes, size in sizes if size == 2)
        return wide, narrow
