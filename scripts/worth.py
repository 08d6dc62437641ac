"""What an encoder is worth: against what a user would do without it, on real data. The last line is JSON.

Run: python scripts/worth.py --wing cell|vision|language|dna [--work FOLDER]   (CPU; continues where it was stopped)

Each wing's file (worth_cell.py, ...) says what is measured and how.
Everything is repeated with five seeds or folds.
"""

import argparse
import importlib
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import numpy as np
from worth_runs import OVER_SAMPLES

from r2mae.options import positive

WINGS = ("cell", "vision", "language", "dna")
SEEDS = 5
Results = dict[str, dict[str, list[float]]]  # {measure: {method: a score a seed}}


def measure_seed(
    wing: str, names: list[str], seed: int, work: Path, scvi: str | None
) -> None:
    """Measure data sets under one seed, into a file each."""
    from r2mae.data.atomic import write_atomic

    module = importlib.import_module(f"worth_{wing}")
    for name in names:
        file = work / f"{name}_{seed}.json"
        if not file.is_file():
            scores = module.measure(name, seed, work, scvi)
            write_atomic(file, json.dumps(scores))
            print(f"{file.stem}: done", file=sys.stderr)


def collected(files: list[Path]) -> Results:
    """The scores of all seeds of a data set."""
    results: Results = {}
    for file in files:
        for key, methods in json.loads(file.read_text()).items():
            for method, score in methods.items():
                results.setdefault(key, {}).setdefault(method, []).append(score)
    return results


def table(
    results: dict[str, Results], peers: tuple[str, ...], widening: float = 1.0
) -> str:
    """Markdown: the mean over seeds, and differences to the baselines with 95 % intervals.

    widening: factor of the half widths over seeds.
    """
    header, *columns = ["measure"], *results
    keys = [key for by in results.values() for key in by if OVER_SAMPLES not in key]
    for name in columns:
        header += [name, *(f"- {peer}" for peer in peers_of(results[name], peers))]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for key in dict.fromkeys(keys):
        row = [key]
        for by_measure in results.values():
            row += cells(by_measure, key, peers_of(by_measure, peers), widening)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def peers_of(by_measure: Results, peers: tuple[str, ...]) -> list[str]:
    """The peers that were measured."""
    measured = {method for methods in by_measure.values() for method in methods}
    return [peer for peer in peers if peer in measured]


def cells(
    by_measure: Results, key: str, peers: list[str], widening: float
) -> list[str]:
    """The score, and a difference for each peer."""
    methods = by_measure.get(key, {})
    if "r2mae" not in methods:
        return [""] * (1 + len(peers))
    own, halves = methods["r2mae"], by_measure.get(key + OVER_SAMPLES, {})
    score = f"{np.mean(own):.0f}" if key == "CPU seconds" else f"{np.mean(own):.3f}"
    texts = [
        difference(own, methods.get(peer, []), halves.get(peer, []), widening)
        for peer in peers
    ]
    return [score, *texts]


def difference(
    own: list[float], other: list[float], halves: list[float], widening: float = 1.0
) -> str:
    """Paired by seed; bold where r2mae is ahead, italics where it is behind.

    halves: half widths of intervals over test samples, where all seeds share these.
    widening: see `table`.
    """
    from r2mae.metrics.interval import mean_interval

    if len(own) != len(other) or len(own) < 2:
        return ""
    mean, over_seeds = mean_interval(np.array(own) - np.array(other))
    half = np.hypot(widening * over_seeds, np.mean(halves) if halves else 0.0)
    text = f"{mean:+.3f} ± {half:.3f}"
    if abs(mean) <= half:
        return text
    return f"**{text}**" if mean > 0 else f"*{text}*"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wing", choices=WINGS, required=True)
    parser.add_argument(
        "--work", type=Path, help="folder for runs and results; default: worth/WING"
    )
    parser.add_argument("--data", metavar="NAME,...", help="these data sets only")
    parser.add_argument("--jobs", type=positive, default=1, help="seeds at a time")
    parser.add_argument(
        "--scvi", metavar="PYTHON", help="an interpreter with scvi-tools; cells only"
    )
    arguments = parser.parse_args()
    wing: str = arguments.wing
    module: ModuleType = importlib.import_module(f"worth_{wing}")
    work = (arguments.work or Path("worth") / wing).resolve()
    work.mkdir(parents=True, exist_ok=True)
    names = arguments.data.split(",") if arguments.data else list(module.NAMES)
    if unknown := set(names) - set(module.NAMES):
        parser.error(f"--data must be of {', '.join(module.NAMES)}, got {unknown}")
    if hasattr(module, "prepare"):
        for name in names:
            module.prepare(name, work)
    spawn = get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(arguments.jobs, mp_context=spawn) as pool:
        jobs = [
            pool.submit(measure_seed, wing, names, seed, work, arguments.scvi)
            for seed in range(SEEDS)
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results = {
        name: collected([work / f"{name}_{seed}.json" for seed in range(SEEDS)])
        for name in names
    }
    print(table(results, module.PEERS, getattr(module, "WIDENING", 1.0)))
    print(f"worth: {json.dumps(results)}")


if __name__ == "__main__":
    main()
