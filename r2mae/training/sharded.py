"""FSDP2: weights, gradients and moments divided among ranks (`hardware.strategy: fsdp`).

The model is one group: its weights are gathered for a step's forward and backward, and
its gradients are divided when backward has ended. A rank then needs 8 + 12 / ranks bytes
a parameter instead of 16, and 4 / ranks more with gradient accumulation.

Source: Rajbhandari et al. 2020 (ZeRO), stage 2; torch's `fully_shard`.
Differs: blocks are not gathered and reduced one by one, since packed batches call their
layers apart.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, mesh: Any) -> None:
    """Shard a model's parameters over the ranks of a device mesh, in place."""
    if not isinstance(model, FSDPModule):
        fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` divided the model."""
    return isinstance(model, FSDPModule)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Within, every rank has complete weights, and any method of the model may be called.

    Ranks may run different numbers of batches.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.set_reshard_after_forward(False)
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
        model.set_reshard_after_forward(True)


def complete(tensor: Tensor) -> Tensor:
    """The complete tensor of a sharded one, on every rank; others are returned as they are.

    A collective: all ranks must call it in the same order.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def complete_on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`complete` of each tensor on rank 0, moved to the CPU at once: the device holds one of them.

    Other ranks return tensors that are not sharded alone, so that a node's memory holds one copy.
    """
    host = {}
    for name, tensor in tensors.items():
        whole = complete(tensor)
        if not isinstance(tensor, DTensor):
            host[name] = tensor
        elif dist.get_rank() == 0:
            host[name] = whole.cpu()
    return host


def shard_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A complete tensor, sharded like a parameter and moved to its device."""
    moved = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor) or not tensor.ndim:
        return moved
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(moved, mesh, placements, src_data_rank=None)
