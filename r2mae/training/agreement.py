"""Shares with all ranks what one of them met: a signal, or samples that it could not read."""

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


class RankAgreement:
    """Tells all ranks of a signal after the same step, without waiting for the device.

    `start` begins an all-reduce between the hosts (gloo) at the end of a step. `finish`
    reads its result before the next step; data is loaded in between.
    `unite` is to be called between `finish` and `start`.

    timeout: how long a rank waits for the others.
    """

    def __init__(self, world_size: int, timeout: timedelta) -> None:
        self._group: dist.ProcessGroup | None = None
        if world_size > 1:
            group = dist.new_group(backend="gloo", timeout=timeout)
            assert isinstance(group, dist.ProcessGroup)
            self._group = group
        self._number = torch.zeros(1, dtype=torch.int64)
        self._work: dist.Work | None = None

    def start(self, number: int) -> None:
        """Send the number of the signal that this rank received; 0 for none."""
        self._number.fill_(number)
        if self._group is not None:
            self._work = dist.all_reduce(
                self._number, dist.ReduceOp.MAX, group=self._group, async_op=True
            )

    def finish(self) -> int:
        """The greatest number that any rank sent.

        Raises: RuntimeError when a rank has died, or did not answer within the timeout.
        """
        if self._work is not None:
            self._work.wait()
            self._work = None
        return int(self._number)

    def unite(self, names: set[str]) -> set[str]:
        """Names that any rank has; all ranks must call it after the same step.

        Raises: as `finish`.
        """
        if self._group is None:
            return names
        gathered: list[Any] = [None] * self._group.size()
        dist.all_gather_object(gathered, names, group=self._group)
        return set().union(*gathered)
