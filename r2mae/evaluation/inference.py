"""How encoders run over data sets: processes that read samples, and the precision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from r2mae.schema.recipe import HardwareSection

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Inference(NamedTuple):
    """workers: processes that read samples; 0 reads in this process. precision, as in a recipe: on a GPU.

    group: ranks that share the batches of `map_batches`; None for this process alone.
    """

    workers: int = 0
    precision: str = "32-true"
    cpu_precision: str = "32-true"
    group: "ProcessGroup | None" = None

    def precision_on(self, device_type: str) -> str:
        """The precision of a device, "cpu" or another."""
        return self.cpu_precision if device_type == "cpu" else self.precision


# A command sets it once for all that it measures, also for tasks of wings.
current: ContextVar[Inference] = ContextVar("inference", default=Inference())  # noqa: B039 - a tuple


@contextmanager
def inference(
    hardware: HardwareSection,
    workers: int | None = None,
    precision: str | None = None,
    group: "ProcessGroup | None" = None,
) -> Iterator[None]:
    """Within, `for_each_batch` reads and, on a GPU, computes as a recipe's `hardware` says.

    workers: instead of the recipe's, of which no more than the cores here are used.
    precision: instead of the recipe's on a GPU, and of float32 on a CPU, many of which only emulate bf16.
    group: ranks that share the batches of `map_batches`; each enters the same context.
    """
    if workers is None:
        workers = min(hardware.workers, _num_cores())
    on_gpu, on_cpu = precision or hardware.precision, precision or "32-true"
    token = current.set(Inference(workers, on_gpu, on_cpu, group))
    try:
        yield
    finally:
        current.reset(token)


def _num_cores() -> int:
    """Cores that this process may use; the machine's where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
