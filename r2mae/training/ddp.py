"""DDP whose gradient buckets are the same in every step, and overlap with backward."""

from contextlib import nullcontext
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class OrderedDDP(DistributedDataParallel):
    """DDP with parameters in reverse: the order in which backward finishes gradients.

    DDP regroups gradients after its first step, by the order in which they were ready.
    The first step of a continued run would then sum in other groups than that step of an
    uninterrupted run, and round differently. `fix_buckets` regroups before any step;
    DDP does so in the order of its parameters.

    Source: Li et al. 2020 (PyTorch Distributed), section 3.2.3. Differs: the order is
    that of the modules, reversed, not one that is recorded.
    """

    def _build_params_for_reducer(self) -> tuple[list[nn.Parameter], list[bool]]:
        parameters, expect_sparse = super()._build_params_for_reducer()
        return parameters[::-1], expect_sparse[::-1]

    def fix_buckets(self) -> None:
        """Group gradients for good. To be called before the first step."""
        self.reducer._push_all_rebuilt_params()
        self.reducer._rebuild_buckets()


class OrderedDDPStrategy(DDPStrategy):
    """Lightning's DDP strategy with `OrderedDDP`."""

    @property
    def root_device(self) -> torch.device:
        """This rank's device: the only one where srun shows each task a GPU of its own."""
        devices: list[torch.device] = self.parallel_devices or []
        return devices[0] if len(devices) == 1 else devices[self.local_rank]

    def _setup_model(self, model: nn.Module) -> OrderedDDP:
        devices = self.determine_ddp_device_ids()
        # DDP must be built on a side stream for later capture, as in Lightning.
        stream: Any = nullcontext()
        if devices is not None:
            stream = torch.cuda.stream(torch.cuda.Stream())
        with stream:
            return OrderedDDP(module=model, device_ids=devices, **self._ddp_kwargs)
