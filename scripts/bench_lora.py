"""LoRA, the last blocks, and the head alone against full fine-tuning: accuracy, parameters, memory and time.

Run: python scripts/bench_lora.py [--work FOLDER]   (CPU; continues where it was stopped)

The encoders are those of worth.py: --work is its folder, with vision/ and language/. Pretraining runs that are not
there are trained first (about 10 and 6 CPU minutes a seed). Three of them, and one draw of labels for each. The
learning rate of each method is chosen by accuracy on held-out training samples of seed 0, never on the test split.
The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import worth_language
import worth_vision
from worth_runs import ROOT, checked, predictions_of, settings, train, tuned_run

from r2mae.training.metric_log import read_metrics
from r2mae.training.run_folder import RunFolder

SEEDS = 3
RATES = (1e-3, 3e-3)
METHODS = {
    "full": (),
    "LoRA, rank 8": ("tune.lora={rank: 8}", "tune.layer_decay=1.0"),
    "last 2 blocks": ("tune.last_layers=2",),
    "head": ("tune.freeze=true",),
}


class Task(NamedTuple):
    """A data set, its encoders, and how they are fine-tuned."""

    wing: str
    recipe: str
    labels: int
    pretrain: Callable[[int, Path], str]
    values: Callable[[Path], tuple[str, ...]]


class Run(NamedTuple):
    """A fine-tuning run, and the CPU seconds and peak MiB that it took."""

    folder: Path
    cost: dict[str, float]


def pretrain_images(seed: int, work: Path) -> str:
    """Name of a run of worth.py."""
    name, values = f"cifar10_{seed}", worth_vision.PRETRAIN
    train(work, "pretrain", name, worth_vision.PRETRAIN_RECIPE, f"seed={seed}", *values)
    return name


def pretrain_texts(seed: int, work: Path) -> str:
    """Name of a run of worth.py."""
    name, values = f"sst2_{seed}", (f"seed={seed}", worth_language.ROOT_OF_DATA)
    train(work, "pretrain", name, "language/sst2_phrases.yaml", *values)
    return name


def values_of_images(folder: Path) -> tuple[str, ...]:
    """Overrides that start from a run on images."""
    return (
        *worth_vision.tuning_values(worth_vision.FINETUNE_STEPS),
        f"model.init_from={folder}",
    )


def values_of_texts(folder: Path) -> tuple[str, ...]:
    """Overrides that start from a run on texts."""
    return (
        worth_language.ROOT_OF_DATA,
        f"data.tokenizer={folder}",
        f"model.init_from={folder}",
        "model.depth=3",
        "repeat={seeds: 1, labels_per_class: [1000]}",
        "schedule={steps: 300, warmup_steps: 30, decay: linear}",
        "watch={every_steps: 300, samples: 1000}",
    )


TASKS = {
    "CIFAR-10": Task(
        "vision", worth_vision.FINETUNE_RECIPE, 100, pretrain_images, values_of_images
    ),
    "SST-2": Task(
        "language",
        "language/sst2_finetune.yaml",
        1000,
        pretrain_texts,
        values_of_texts,
    ),
}


def finetune(task: Task, method: str, seed: int, rate: float, work: Path) -> Run:
    """Pretrain and fine-tune once; fine-tuning has a process of its own."""
    start = task.pretrain(seed, work)
    name = f"lora_{start}_{method.replace(', ', '_').replace(' ', '_')}_{rate:g}"
    folder = tuned_run(work, name, task.labels, seed)
    kept = work / f"{name}.cost"
    if not kept.is_file():
        values = *values_of(task, method, work / "runs" / start), f"seed={seed}"
        options = settings(*values, f"optimizer.lr={rate}")
        path = str(ROOT / "recipes" / task.recipe)
        command = [sys.executable, "-m", "r2mae", "finetune", path, "--name", name]
        process = subprocess.Popen(
            [*command, *options], cwd=work, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{name}: fine-tuning failed.")
        cost = {
            "CPU seconds": used.ru_utime + used.ru_stime,
            "peak MiB": used.ru_maxrss / 1024,
        }
        kept.write_text(json.dumps(cost))
    return Run(folder, json.loads(kept.read_text()))


def values_of(task: Task, method: str, start: Path) -> tuple[str, ...]:
    """Overrides of the recipe: those of the task, then those of the method."""
    return *task.values(start), *METHODS[method]


def held_out_accuracy(folder: Path) -> float:
    """The last accuracy on held-out training samples."""
    metrics = read_metrics(RunFolder(folder))
    name = "validation/accuracy"
    return metrics[max(step for step in metrics if name in metrics[step])][name]


def measure(task: Task, method: str, work: Path) -> dict[str, list[float]]:
    """{accuracy, CPU seconds, peak MiB, learning rate: a number a seed}, and trained parameters."""
    columns: dict[str, list[float]] = {}
    chosen = 0.0
    for seed in range(SEEDS):
        rates = (chosen,) if seed else RATES
        runs = {rate: finetune(task, method, seed, rate, work) for rate in rates}
        chosen = max(runs, key=lambda rate: held_out_accuracy(runs[rate].folder))
        predicted, expected = predictions_of(runs[chosen].folder)
        row = {"accuracy": float((predicted == expected).mean())}
        row |= {**runs[chosen].cost, "learning rate": chosen}
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    values = values_of(task, method, work / "runs" / task.pretrain(0, work))
    trained = checked(work, task.recipe, *values)["parameters"]["trained"]
    return columns | {"trained parameters": [trained]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("worth"))
    parser.add_argument("--data", choices=TASKS, help="this data set only")
    arguments = parser.parse_args()
    results = {}
    for name in [arguments.data] if arguments.data else TASKS:
        task = TASKS[name]
        work = (arguments.work / task.wing).resolve()
        work.mkdir(parents=True, exist_ok=True)
        results[name] = {method: measure(task, method, work) for method in METHODS}
        for method, columns in results[name].items():
            means = {key: np.mean(values) for key, values in columns.items()}
            print(
                f"{name}, {method}: accuracy {means['accuracy']:.3f}, "
                f"{means['trained parameters']:,.0f} parameters trained, "
                f"{means['CPU seconds']:.0f} CPU seconds, "
                f"{means['peak MiB']:.0f} MiB, learning rate {means['learning rate']:g}"
            )
    print(f"lora: {json.dumps(results)}")


if __name__ == "__main__":
    main()
