"""Batches of a source in its order, without augmentation, read ahead by worker processes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from r2mae.data.source import (
    Batch,
    SampleSource,
    as_is,
    check_loaded,
    load_or_error,
    move,
)
from r2mae.data.worker import set_up_worker

# Fewer batches are read in this process: starting workers would cost more than it saves.
FEWEST_BATCHES = 4


class PlainBatches(torch.utils.data.Dataset[Batch]):
    """Batches of the samples at rows (N,), by number."""

    def __init__(self, source: SampleSource, rows: Tensor, batch_size: int) -> None:
        self.source = source
        self.rows = rows
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        start = number * self.batch_size
        rows = self.rows[start : start + self.batch_size]
        return load_or_error(self.source, rows)


def read_plain(
    source: SampleSource,
    rows: Tensor,
    batch_size: int,
    device: torch.device,
    workers: int = 0,
) -> Iterator[Batch]:
    """Samples at rows (N,), batch by batch on a device; the same for any number of workers.

    workers: processes that read ahead; 0 reads in this process, as few batches always are.

    Raises: InputError where a sample must not, or cannot, be skipped.
    """
    batches = PlainBatches(source, rows, batch_size)
    if len(batches) < FEWEST_BATCHES:
        workers = 0
    loader = DataLoader(
        batches,
        batch_size=None,  # what the dataset gives is a batch already
        collate_fn=as_is,  # type: ignore[arg-type]
        num_workers=min(workers, len(batches)),
        pin_memory=device.type == "cuda",
        worker_init_fn=set_up_worker,
        generator=torch.Generator(),  # the global one stays as it is
    )
    for batch in loader:
        yield move(check_loaded(batch), device)
