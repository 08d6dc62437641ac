"""How fast cells are read: the store against scDataset and anndata's AnnLoader on the same matrix, in one run.

Run: make bench   or: python scripts/bench_cells.py WORK [--cells N] [--genes G]
(pip install --no-deps scDataset for the comparison; without it, it is left out)

Cells are synthetic, 5 % of counts are not zero, pages are warm. Every reader gives float32 batches; scDataset and
AnnLoader read the .h5ad (uncompressed CSR). Batches differ in how mixed they are, so the entropy of a batch over 100
equal stretches of the file is measured, and scDataset is given the block size and fetch factor that come nearest to
ours. The last line is JSON.
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
import torch

from r2mae.data.stream import Stream
from r2mae.modalities.cell.data.build import build_store
from r2mae.modalities.cell.data.cells import BLOCK_CELLS, Cells, CellView

BATCHES, SECONDS, ROUNDS = (64, 256, 512), 2.0, 3
STRETCHES = 100


def make(path: Path, num_cells: int, num_genes: int) -> None:
    """An .h5ad of counts, written in parts."""
    import pandas as pd

    draw, each = np.random.default_rng(0), num_genes // 20
    names = pd.DataFrame(index=[f"gene_{n}" for n in range(num_genes)])
    anndata.AnnData(
        obs=pd.DataFrame(index=[str(n) for n in range(num_cells)]), var=names
    ).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update(
            {
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": (num_cells, num_genes),
            }
        )
        group["indptr"] = np.arange(num_cells + 1) * each
        data = group.create_dataset("data", (num_cells * each,), np.float32)
        indices = group.create_dataset("indices", (num_cells * each,), np.int32)
        for first in range(0, num_cells, 2000):
            part = slice(first * each, min(first + 2000, num_cells) * each)
            rows = (part.stop - part.start) // each
            # One gene of every twenty: rising, never twice.
            genes = np.arange(each)[None] * 20 + draw.integers(0, 20, (rows, each))
            indices[part] = genes.ravel()
            data[part] = draw.geometric(0.6, rows * each)


def ours(cells: Cells, batch: int, lists: bool) -> Iterator[torch.Tensor]:
    """Batches in the order of training: rows, for the entropy."""
    stream, position = Stream(len(cells), 0, BLOCK_CELLS), 0
    while True:
        rows = stream.indices(torch.arange(position, position + batch)).numpy()
        position += batch
        if lists:
            cells.lists(rows)
        else:
            cells.dense(rows)
        yield torch.from_numpy(rows)


def scdataset(path: Path, batch: int, dense: bool) -> Iterator[torch.Tensor]:
    """scDataset on a backed AnnData."""
    from scdataset import BlockShuffling, scDataset

    backed = anndata.read_h5ad(path, backed="r")

    def fetch(
        collection: anndata.AnnData, indices: np.ndarray
    ) -> tuple[object, np.ndarray]:
        found = collection.X[indices]
        return found, np.asarray(indices)

    def pick(fetched: tuple[object, np.ndarray], indices: np.ndarray) -> torch.Tensor:
        rows = fetched[0][indices]
        if dense:
            torch.from_numpy(rows.toarray())
        return torch.from_numpy(fetched[1][indices])

    while True:
        source = scDataset(
            backed,
            BlockShuffling(block_size=BLOCK_CELLS),
            batch_size=batch,
            fetch_factor=16,
            fetch_callback=fetch,
            batch_callback=pick,
        )
        yield from source


def annloader(path: Path, batch: int) -> Iterator[torch.Tensor]:
    """anndata's own loader, backed, shuffled by cell."""
    from anndata.experimental import AnnLoader

    backed = anndata.read_h5ad(path, backed="r")
    while True:
        for found in AnnLoader(backed, batch_size=batch, shuffle=True, use_cuda=False):
            _ = found.X
            yield torch.zeros(len(found), dtype=torch.int64)


def speed(batches: Iterator[torch.Tensor]) -> float:
    """Cells a second over SECONDS or longer, after a batch to warm up."""
    next(batches)
    start, seen = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        seen += len(next(batches))
    return seen / (time.perf_counter() - start)


def entropy(batches: Iterator[torch.Tensor], num_cells: int, count: int = 20) -> float:
    """Mean entropy in bits of a batch over stretches of the file; log2 of 100 is 6.64."""
    found = []
    for _ in range(count):
        shares = np.bincount(
            (next(batches) * STRETCHES // num_cells).numpy(), minlength=STRETCHES
        )
        shares = shares[shares > 0] / shares.sum()
        found.append(-(shares * np.log2(shares)).sum())
    return float(np.mean(found))


def resident() -> dict[str, float]:
    """MB: resident, and this process's proportional share of shared pages."""
    lines = dict(
        line.split(":")
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    )
    return {
        name: round(int(lines[name].split()[0]) / 1024, 1)
        for name in ("Rss", "Pss", "Anonymous")
    }


def shared_pages(store_path: Path) -> dict[str, float]:
    """MB of a process that has read the whole store, alone and beside another one."""
    from r2mae.modalities.cell.data.store import open_store

    def read_all() -> float:
        store = open_store(store_path)
        int(np.asarray(store.genes).sum()), int(np.asarray(store.values).sum())
        return resident()["Pss"]

    alone = read_all()
    held = open_store(store_path)
    int(np.asarray(held.genes).sum()), int(np.asarray(held.values).sum())
    readable, writable = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writable, str(read_all()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return {"alone": alone, "beside another": float(os.read(readable, 100))}


def main() -> None:
    warnings.simplefilter("ignore")  # AnnLoader's, at every batch
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=20_000)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.work / f"cells_{given.cells}_{given.genes}.h5ad"
    if not path.is_file():
        make(path, given.cells, given.genes)
    start = time.perf_counter()
    store = build_store(given.work / f"store_{given.cells}_{given.genes}", [path])
    print(
        f"store: {time.perf_counter() - start:.0f} s to build or open, {store.meta['entries']:,} entries"
    )
    cells = Cells(store, store.gene_names, CellView())
    for name in ("genes", "values", "starts"):
        int(np.asarray(getattr(store, name)).sum())  # warm pages
    results: dict[str, object] = {"memory before": resident()}
    for batch in BATCHES:
        jobs: dict[str, Callable[[], Iterator[torch.Tensor]]] = {
            "store, lists": lambda batch=batch: ours(cells, batch, True),
            "store, dense": lambda batch=batch: ours(cells, batch, False),
            "scDataset, lists": lambda batch=batch: scdataset(path, batch, False),
            "scDataset, dense": lambda batch=batch: scdataset(path, batch, True),
            "AnnLoader": lambda batch=batch: annloader(path, batch),
        }
        if importlib.util.find_spec("scdataset") is None:
            jobs = {
                name: job
                for name, job in jobs.items()
                if not name.startswith("scDataset")
            }
        found: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, job in jobs.items():
                found[name].append(speed(job()))
        mixed = {
            name: entropy(jobs[name](), given.cells)
            for name in ("store, lists", "scDataset, lists")
            if name in jobs
        }
        print(
            f"batch {batch}: cells/s, medians of {ROUNDS}, interleaved; entropy {mixed}"
        )
        for name, rates in found.items():
            print(f"  {name:<20}{statistics.median(rates):12,.0f}")
        results[f"batch {batch}"] = {
            name: round(statistics.median(rates)) for name, rates in found.items()
        } | {"entropy": {name: round(bits, 2) for name, bits in mixed.items()}}
    results["memory after"] = resident()
    results["shared pages"] = shared_pages(store.path)
    print(f"cells: {json.dumps(results)}")


if __name__ == "__main__":
    main()
