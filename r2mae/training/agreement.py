"""How ranks learn of a signal that only one of them received."""

from datetime import timedelta

import torch
import torch.distributed as dist


class SignalAgreement:
    """All ranks learn of a signal after the same step, and no rank waits for its device.

    `start` begins an all-reduce between the hosts (gloo) at the end of a step, `finish`
    takes its result before the next one; data is loaded in between.
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
        """Offer the signal that this rank received, 0 for none."""
        self._number.fill_(number)
        if self._group is not None:
            self._work = dist.all_reduce(
                self._number, dist.ReduceOp.MAX, group=self._group, async_op=True
            )

    def finish(self) -> int:
        """The greatest number that any rank offered.

        Raises: RuntimeError when a rank is gone, or did not answer within the timeout.
        """
        if self._work is not None:
            self._work.wait()
            self._work = None
        return int(self._number)
