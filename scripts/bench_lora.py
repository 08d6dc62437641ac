"""LoRA, the last blocks, and the head alone against full fine-tuning: accuracy, parameters, memory and time.

Run: python scripts/bench_lora.py [--work FOLDER]   (CPU; continues where it was stopped)

The encoders are those of worth.py: --work is its folder, with vision/ and language/. Pretraining runs that are not
there are trained first (about 10 and 6 CPU minutes a seed). Three of them, and one draw of labels for each. The
learning rate of each method is chosen by accuracy on held-out training samples of seed 0, never on the test split.
The last line is JSON.
"""

import argparse
import csv
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
from worth_runs import DATA, ROOT, checked, settings, train

SEEDS = 3
RATES = (1e-3, 3e-3)
METHODS = {
    "full": (),
    "LoRA, rank 8": ("tune.lora={rank: 8}", "tune.layer_decay=1.0"),
    "last 2 blocks": ("tune.last_layers=2",),
    "head": ("tune.freeze=true",),
}
SST2 = DATA / "language" / "sst2"


class Task(NamedTuple):
    """A data set, its encoders, and how they are fine-tuned."""

    wing: str
    recipe: str
    labels: int
    pretrain: Callable[[int, Path], str]
    values: Callable[[Path], tuple[str, ...]]


class Cost(NamedTuple):
    """What one fine-tuning run took."""

    cpu_seconds: float
    peak_mib: float


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
    return (
        *worth_vision.tuning_values(worth_vision.FINETUNE_STEPS),
        f"model.init_from={folder}",
    )


def values_of_texts(folder: Path) -> tuple[str, ...]:
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


def finetune(task: Task, name: str, seed: int, work: Path, values: list[str]) -> Cost:
    """Fine-tune in a process of its own, once."""
    kept = work / f"{name}.cost"
    if not kept.is_file():
        path = str(ROOT / "recipes" / task.recipe)
        options = settings(*values, f"seed={seed}")
        command = [sys.executable, "-m", "r2mae", "finetune", path, "--name", name]
        process = subprocess.Popen(
            [*command, *options], cwd=work, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{name}: fine-tuning failed.")
        seconds = used.ru_utime + used.ru_stime
        kept.write_text(json.dumps(Cost(seconds, used.ru_maxrss / 1024)))
    return Cost(*json.loads(kept.read_text()))


def held_out_accuracy(folder: Path) -> float:
    """The last accuracy on held-out training samples."""
    with (folder / "metrics.csv").open() as file:
        values = [row.get("validation/accuracy") for row in csv.DictReader(file)]
    return float([value for value in values if value][-1])


def measure(task: Task, work: Path) -> dict[str, dict[str, list[float]]]:
    """{method: {accuracy, CPU seconds, peak MiB, learning rate: a number a seed}}."""
    results = {}
    for method, changes in METHODS.items():
        columns: dict[str, list[float]] = {}
        chosen = 0.0
        for seed in range(SEEDS):
            run = task.pretrain(seed, work)
            values = [*task.values(work / "runs" / run), *changes]
            runs = {}
            for rate in RATES if seed == 0 else (chosen,):
                name = (
                    f"lora_{run}_{method.replace(', ', '_').replace(' ', '_')}_{rate:g}"
                )
                cost = finetune(
                    task, name, seed, work, [*values, f"optimizer.lr={rate}"]
                )
                folder = work / "runs" / name / f"labels_{task.labels}" / f"seed_{seed}"
                runs[rate] = folder, cost
            if seed == 0:
                chosen = max(runs, key=lambda rate: held_out_accuracy(runs[rate][0]))
            folder, cost = runs[chosen]
            predicted, expected = np.load(folder / "test_predictions.npy")
            row = {"accuracy": float((predicted == expected).mean())}
            row |= {"CPU seconds": cost.cpu_seconds, "peak MiB": cost.peak_mib}
            for key, value in (row | {"learning rate": chosen}).items():
                columns.setdefault(key, []).append(value)
        trained = checked(work, task.recipe, *values)["parameters"]["trained"]
        results[method] = columns | {"trained parameters": [trained]}
    return results


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
        results[name] = measure(task, work)
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
