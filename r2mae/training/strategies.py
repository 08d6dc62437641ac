"""Lightning's strategies for several devices: DDP with fixed buckets, and FSDP2."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from r2mae.training.sharded import shard_like


class OrderedDDP(DistributedDataParallel):
    """DDP with parameters in reverse: the order in which backward finishes gradients.

    DDP regroups gradients after its first step, by the order in which they were ready.
    A continued run would then sum its first step in other groups than an uninterrupted
    run did, and round differently. So `fix_buckets` regroups before the first step, in
    the order of DDP's parameters.

    Source: Li et al. 2020 (PyTorch Distributed), section 3.2.3. Differs: the order is
    that of the modules, reversed, not one that is recorded.
    """

    def _build_params_for_reducer(self) -> tuple[list[nn.Parameter], list[bool]]:
        parameters, expect_sparse = super()._build_params_for_reducer()
        return parameters[::-1], expect_sparse[::-1]

    def fix_buckets(self) -> None:
        """Group gradients once for the whole training; call it before the first step."""
        self.reducer._push_all_rebuilt_params()
        self.reducer._rebuild_buckets()


class _OwnDevice:
    """A strategy whose ranks may each see one GPU only, as srun's options can arrange.

    Lightning's strategies index the visible GPUs by the local rank.
    """

    parallel_devices: list[torch.device] | None
    local_rank: int

    @property
    def root_device(self) -> torch.device:
        """The device of this rank."""
        devices = self.parallel_devices or []
        return devices[0] if len(devices) == 1 else devices[self.local_rank]


class OrderedDDPStrategy(_OwnDevice, DDPStrategy):
    """Lightning's DDP strategy with `OrderedDDP`."""

    def _setup_model(self, model: nn.Module) -> OrderedDDP:
        devices = self.determine_ddp_device_ids()
        # DDP must be built on a side stream for later capture, as in Lightning.
        stream: Any = nullcontext()
        if devices is not None:
            stream = torch.cuda.stream(torch.cuda.Stream())
        with stream:
            return OrderedDDP(module=model, device_ids=devices, **self._ddp_kwargs)


class ShardedStrategy(_OwnDevice, ModelParallelStrategy):
    """Lightning's strategy for FSDP2 with r2mae's checkpoints, which hold complete tensors."""

    def __init__(self, world_size: int, timeout: timedelta) -> None:
        super().__init__(world_size, 1, timeout=timeout)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """A checkpoint with complete tensors, on every rank."""
        checkpoint: dict[str, Any] = self.checkpoint_io.load_checkpoint(checkpoint_path)
        return checkpoint

    @torch.no_grad()
    def load_model_state_dict(
        self, checkpoint: Mapping[str, Any], strict: bool = True
    ) -> None:
        """Copy a checkpoint's tensors into the shards."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        assert not strict or own.keys() == checkpoint["state_dict"].keys()
        for name, tensor in checkpoint["state_dict"].items():
            own[name].copy_(shard_like(tensor, own[name]))
