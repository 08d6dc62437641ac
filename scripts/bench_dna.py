"""How fast genomes and alignments are read and built in one process, and the memory that takes.

Run: make bench   or: python scripts/bench_dna.py WORK [--bases N] [--aligned N]

The genome is synthetic: contigs of 50 million bases or fewer, a tenth of it runs of N, half of it in lower case.
Windows are drawn at random, 131,072 bases a batch, on both strands, pages warm, bases as int64; "with the stream" adds
what the order of training costs. Alignments are synthetic MAF, sorted, a tenth of the letters gaps; aligned bases are
those of all rows. Rates are by the wall clock; "cpu" ones by the processor's time, for machines that others use too.
Memory is of a process of its own for each job: "peak" is all that was resident, pages of mapped files included, which
all processes share; "own" is the rest ("before": what libraries take). Training is of a ModernBERT over bases,
whole loops of the engine and of transformers' Trainer in turn (see loops.py). The last line is JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loops import Ours, Theirs, compare

from r2mae.data.stream import Stream
from r2mae.modalities.dna.alignment.build import build_alignment_store
from r2mae.modalities.dna.alignment.store import open_alignment_store
from r2mae.modalities.dna.genome.build import build_genome_store
from r2mae.modalities.dna.genome.store import open_genome_store
from r2mae.modalities.dna.genome.windows import Windows
from r2mae.modalities.dna.tokens import nucleotide_tokenizer
from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import parse_recipe

ROUNDS, SECONDS, TOGETHER = 3, 1.5, 1 << 17
LINE, CONTIG = 60, 50_000_000
WINDOW, ROWS = 512, 8


def make_fasta(path: Path, bases: int) -> None:
    """In parts: memory does not grow."""
    draw, letters = np.random.default_rng(0), np.frombuffer(b"ACGTacgt", dtype=np.uint8)
    with path.open("wb") as file:
        for number, first in enumerate(range(0, bases, CONTIG)):
            file.write(b">c%d\n" % number)
            for at in range(first, min(first + CONTIG, bases), LINE * 100_000):
                size = min(LINE * 100_000, first + CONTIG - at, bases - at)
                part = letters[draw.integers(0, 8, size, dtype=np.uint8)]
                part[: size // 10] = ord("N")
                part = np.append(
                    part, np.full(-size % LINE, ord("\n"), dtype=np.uint8)
                ).reshape(-1, LINE)
                lines = np.pad(part, ((0, 0), (0, 1)), constant_values=ord("\n"))
                file.write(lines.tobytes())


def make_maf(path: Path, aligned: int, species: int, width: int) -> None:
    """Blocks of `species` rows and `width` columns, one after the other along one contig."""
    draw = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGTACGTA-", dtype=np.uint8)
    pool = letters[draw.integers(0, 10, 1 << 22)].tobytes()
    blocks = aligned // (species * width * 9 // 10)
    length = blocks * (width + 5)
    with path.open("wb") as file:
        file.write(b"##maf version=1\n")
        start = 0
        for _ in range(blocks):
            file.write(b"\na score=1\n")
            for row, at in enumerate(draw.integers(0, len(pool) - width, species)):
                text = pool[at : at + width]
                size = width - text.count(b"-")
                if row == 0:
                    file.write(
                        b"s ref.chr1 %d %d + %d %s\n" % (start, size, length, text)
                    )
                    start += size + 5
                else:
                    file.write(b"s s%d.chr1 0 %d + 1000000 %s\n" % (row, size, text))


def memory(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = dict(
        line.split(":") for line in Path("/proc/self/status").read_text().splitlines()
    )
    return int(lines[name].split()[0]) * 1024


def apart(job: Callable[[Callable[[], None]], dict[str, float]]) -> dict[str, float]:
    """A job's result, from a process of its own, with its memory in MB; it calls what it is given now and then."""
    readable, writable = os.pipe()
    if (child := os.fork()) == 0:
        Path("/proc/self/clear_refs").write_text(
            "5"
        )  # the peak so far was the parent's
        own = 0

        def look() -> None:
            nonlocal own
            own = max(own, memory("RssAnon"))

        found = job(look)
        look()
        found |= {"peak_MB": round(memory("VmHWM") / 1e6), "own_MB": round(own / 1e6)}
        os.write(writable, json.dumps(found).encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(writable)
    if status:
        raise SystemExit(f"a job ended with {status}")
    with os.fdopen(readable) as file:
        found: dict[str, float] = json.load(file)
    return found


def rates(
    name: str, load: Callable[[int], int], look: Callable[[], None]
) -> dict[str, float]:
    """Items a second, medians of rounds; `load` takes a step's number and gives how many it read."""
    load(0)
    wall, cpu, step = [], [], 1
    for _ in range(ROUNDS):
        start, busy, seen = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < SECONDS:
            seen += load(step)
            step += 1
        wall.append(seen / (time.perf_counter() - start))
        cpu.append(seen / (time.process_time() - busy))
        look()
    return {
        f"{name}_per_s": round(statistics.median(wall)),
        f"{name}_per_cpu_s": round(statistics.median(cpu)),
    }


def read_windows(windows: Windows, look: Callable[[], None]) -> dict[str, float]:
    """Bases a second, alone and in the order of training."""
    stream, rows = Stream(len(windows), seed=0), TOGETHER // windows.length
    drawn = torch.randint(
        len(windows), (64, rows), generator=torch.Generator().manual_seed(0)
    )

    def alone(step: int) -> int:
        positions = torch.arange(step * rows, (step + 1) * rows)
        return int(windows.load(drawn[step % 64], positions, 0)["bases"].numel())

    def streamed(step: int) -> int:
        positions = torch.arange(step * rows, (step + 1) * rows)
        return int(
            windows.load(stream.indices(positions), positions, 0)["bases"].numel()
        )

    found: dict[str, float] = {"windows": len(windows)}
    return (
        found | rates("bases", alone, look) | rates("with_the_stream", streamed, look)
    )


def bench_genome(work: Path, bases: int) -> dict[str, Any]:
    path, place = work / "genome.fa", work / "genome"
    make_fasta(path, bases)

    def build(look: Callable[[], None]) -> dict[str, float]:
        start, busy = time.perf_counter(), time.process_time()
        build_genome_store(place, [path], lambda *_: look())
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
        return {
            "bases_per_s": round(bases / wall),
            "bases_per_cpu_s": round(bases / cpu),
        }

    found: dict[str, Any] = {"bases": bases, "build": apart(build)}
    path.unlink()
    np.asarray(open_genome_store(place).bases).max()  # warm pages
    for length in (128, 512, 2048):
        found[f"windows of {length}"] = apart(
            lambda look, length=length: read_windows(
                Windows(open_genome_store(place), length), look
            )
        )
    return found


def bench_alignment(
    work: Path, aligned: int, species: int, width: int
) -> dict[str, Any]:
    path, place = work / "alignment.maf", work / "alignment"
    shutil.rmtree(place, ignore_errors=True)
    make_maf(path, aligned, species, width)

    def build(look: Callable[[], None]) -> dict[str, float]:
        start, busy = time.perf_counter(), time.process_time()
        store = build_alignment_store(place, [path], None, None, lambda *_: look())
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
        bases = sum(store.meta["aligned"].values())
        return {
            "aligned_bases_per_s": round(bases / wall),
            "aligned_bases_per_cpu_s": round(bases / cpu),
        }

    found: dict[str, Any] = {
        "species": species,
        "columns a block": width,
        "build": apart(build),
    }
    path.unlink()
    store = open_alignment_store(place)
    found["windows of 128"] = apart(
        lambda look: read_windows(
            Windows(store.reference, 128, alignment=store, least_aligned=0.5), look
        )
    )
    return found


def bench_training(genome: Path) -> dict[str, float]:
    """Tokens a second, against transformers' Trainer on the same model and windows."""
    shape = {"width": 256, "depth": 4, "heads": 4, "hidden": 512}
    found = {
        "task": "pretrain",
        "modality": "dna",
        "data": {"root": str(genome), "length": WINDOW, "least_known": 0.9},
        "mask": {"ratio": {"fixed": {"ratio": 0.15}}, "replacement": [0.8, 0.1]},
        "model": {"encoder": "modernbert", **shape},
        "batch": {"global_samples": ROWS},
        "optimizer": {"lr": 1e-4, "clip_norm": 1.0},
        "schedule": {"steps": 10_000},
    }
    recipe = parse_recipe(found, "bench")
    ours, tokens = Ours(recipe), float(ROWS * (WINDOW + 2))
    config = build_model(recipe).base.config  # type: ignore[union-attr]
    theirs = Theirs(config, nucleotide_tokenizer(), 0.15, ours.ids(), ROWS)
    return compare("ModernBERT over bases", ours, theirs, (tokens, tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "work", type=Path, help="folder for files, as large as the genome twice"
    )
    parser.add_argument(
        "--bases",
        type=int,
        default=200_000_000,
        help="of the genome; a human one has 3 billion",
    )
    parser.add_argument(
        "--aligned",
        type=int,
        default=20_000_000,
        help="bases of an alignment, of all species",
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(given.work / "genome", ignore_errors=True)
    torch.set_num_threads(1)
    nothing = apart(lambda _: {})
    results = {
        "before": nothing,
        "genome": bench_genome(given.work, given.bases),
        "alignments": [
            bench_alignment(given.work, given.aligned, species, width)
            for species, width in ((5, 200), (30, 200), (30, 30))
        ],
    }
    results["training"] = bench_training(given.work / "genome")
    print(f"before: {results['before']}")
    for name, found in results["genome"].items():
        print(f"genome, {name}: {found}")
    for found in results["alignments"]:
        print(f"alignment: {found}")
    print(f"dna: {json.dumps(results)}")


if __name__ == "__main__":
    main()
