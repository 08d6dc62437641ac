"""What a function gives for each batch of a source, with the batches shared among processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import nn

from r2mae.data.source import Batch, SampleSource
from r2mae.evaluation.features import for_each_batch
from r2mae.evaluation.inference import current


@contextmanager
def rank_group(timeout: timedelta) -> Iterator[dist.ProcessGroup | None]:
    """All ranks of a job, connected between hosts (gloo); None unless training has connected several.

    timeout: how long a rank waits for the others.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() < 2:
        yield None
        return
    group = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(group, dist.ProcessGroup)
    try:
        yield group
    finally:
        dist.destroy_process_group(group)


def of_first_rank(value: Any, group: dist.ProcessGroup | None) -> Any:
    """The value that the first rank passed; the other ranks wait for it."""
    values = [value]
    if group is not None:
        dist.broadcast_object_list(values, src=0, group=group)
    return values[0]


def forward(model: nn.Module, batch: Batch) -> npt.NDArray[np.float32]:
    """Outputs of a `Classifier` for a batch, on the host."""
    return np.asarray(model(batch).float().cpu().numpy())


def map_batches(
    model: nn.Module,
    source: SampleSource,
    compute: Callable[[Batch], Any],
    progress: Callable[[int, int], None] | None = None,
    batch_size: int = 256,
) -> list[Any]:
    """compute(batch) for all batches of a source, in order, each visited as in `for_each_batch`.

    The ranks of `Inference.group` take turns at batches; each gets the results of all of
    them. The batches are those of one process, so the results are the same bit by bit.

    compute: gives arrays and other objects on the host, which are sent to the other ranks.
    progress: called with (samples done, samples) of this rank's share.
    """
    group = current.get().group
    rank, size = (0, 1) if group is None else (group.rank(), group.size())
    batches = torch.arange(len(source)).split(batch_size)
    rows = torch.cat([torch.arange(0), *batches[rank::size]]).numpy()
    mine: list[Any] = []

    def visit(batch: Batch) -> None:
        mine.append(compute(batch))

    for_each_batch([model], source, visit, batch_size, rows, progress)
    parts: list[Any] = [mine]
    if group is not None:
        parts = [None] * size
        dist.all_gather_object(parts, mine, group=group)
    return [parts[number % size][number // size] for number in range(len(batches))]
