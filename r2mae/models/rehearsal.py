"""Forward and backward on tensors without values: shapes and costs of any module, no memory, no arithmetic."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


class Rehearsal(NamedTuple):
    """What a forward and backward pass would have given and cost."""

    output: Any  # what forward gave, its tensors without values
    flops: int  # forward and backward; a multiply-add is two
    wide: int  # values kept for backward in four bytes or more, beside the parameters
    narrow: int  # values kept for backward in two bytes
    idle: frozenset[str]  # parameters that got no gradient


def rehearse(
    module: nn.Module,
    make_arguments: Callable[[], tuple[Any, ...]],
    loss_of: Callable[[Any], Tensor],
    *,
    bf16: bool,
) -> Rehearsal:
    """Run loss_of(module(*make_arguments())) forward and backward; the module and the random state stay as they are.

    make_arguments: is called where torch makes tensors without values, so it may ask for any size.
    bf16: under bf16-mixed, as CPUs do it.

    Raises: whatever the module raises for arguments of these shapes.
    """
    with (
        torch.enable_grad(),
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.device("cpu"),
    ):
        weights = {
            name: torch.empty(p.shape, dtype=p.dtype, requires_grad=p.requires_grad)
            for name, p in module.named_parameters()
        }
        buffers = {
            name: torch.empty(b.shape, dtype=b.dtype)
            for name, b in module.named_buffers()
        }
        kept = _Kept({tensor.untyped_storage()._cdata for tensor in weights.values()})
        counter = FlopCounterMode(
            display=False,
            custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward},
        )
        with counter:
            with (
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
                saved_tensors_hooks(kept.keep, lambda tensor: tensor),
            ):
                output = functional_call(module, weights | buffers, make_arguments())
            loss_of(output).backward()
        idle = frozenset(
            name for name, tensor in weights.items() if tensor.grad is None
        )
        return Rehearsal(output, counter.get_total_flops(), *kept.values(), idle)


def _convolution_backward(
    gradient_shape: Any,
    input_shape: Any,
    weight_shape: Any,
    *rest: Any,
    **_: Any,
) -> int:
    """As much as forward for each of input and weight; torch counts a grouped weight as if it were whole."""
    transposed, output_mask = rest[4], rest[7]
    moved = input_shape if transposed else gradient_shape
    once = 2 * moved[0] * math.prod(moved[2:]) * math.prod(weight_shape)
    return int(once * (output_mask[0] + output_mask[1]))


class _Kept:
    """Storages that autograd holds, each counted once; held here too, so that no address is given out again."""

    def __init__(self, known: set[int]) -> None:
        self.known = known
        self.storages: dict[int, tuple[Any, int]] = {}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known:
            self.storages[storage._cdata] = (storage, tensor.element_size())
        return tensor

    def values(self) -> tuple[int, int]:
        """(values of four bytes or more, values of two); smaller ones are masks, a quarter of a wide value each."""
        sizes = [(storage.nbytes(), size) for storage, size in self.storages.values()]
        return sum(b // 4 for b, size in sizes if size != 2), sum(
            b // 2 for b, size in sizes if size == 2
        )
