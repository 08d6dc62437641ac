"""What the wings of worth.py share: commands, kept times, and scores of probes."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
# {measure: {method: score}}; the project's encoder is "r2mae".
Scores = dict[str, dict[str, float]]
# The key of a measure's intervals over test samples, {method: half width of r2mae - method}.
OVER_SAMPLES = " (over test samples)"


def r2mae(work: Path, *arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "r2mae", *arguments]
    done = subprocess.run(
        command, cwd=work, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def settings(*values: str) -> list[str]:
    """Options that override values of a recipe."""
    return [part for value in values for part in ("--set", value)]


def checked(work: Path, recipe: str, *values: str) -> Any:
    """The JSON document of `r2mae check`."""
    path = str(ROOT / "recipes" / recipe)
    return json.loads(r2mae(work, "check", "--json", path, *settings(*values)))


def cpu_seconds() -> float:
    """CPU time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(work: Path, verb: str, run: str, recipe: str, *values: str) -> float:
    """Pretrain or fine-tune under the name `run`; CPU seconds of the last start.

    A finished run is not started again, and its time is read from a file.
    """
    from r2mae.data.atomic import write_atomic

    kept = work / f"{run}.seconds"
    if not kept.is_file():
        before = cpu_seconds()
        path = str(ROOT / "recipes" / recipe)
        r2mae(work, verb, path, "--name", run, *settings(*values))
        write_atomic(kept, str(cpu_seconds() - before))
    return float(kept.read_text())


def tuned_run(work: Path, table: str, labels: int, seed: int) -> Path:
    """Folder of one run of a fine-tuning table."""
    return work / "runs" / table / f"labels_{labels}" / f"seed_{seed}"


def predictions_of(run: Path) -> np.ndarray:
    """(2, N) predicted and true classes of the test split."""
    return np.load(run / "test_predictions.npy")


def probes(
    work: Path,
    run: str,
    options: list[str],
    score: str,
    titles: dict[str, str],
    suffix: str = "",
) -> Scores:
    """Scores of probes on complete and partly hidden test samples.

    options: of `r2mae evaluate`.
    score: "accuracy", with intervals over test samples, or "balanced_accuracy".
    titles: names of the tasks in the table.
    suffix: of the names of measures in which a part of each test sample is hidden.
    """
    document = json.loads(
        r2mae(work, "evaluate", f"runs/{run}", *options, "--baselines", "--json")
    )
    scores: Scores = {}
    tasks = document.get("tasks") or {document["task"]: document}
    for task, result in tasks.items():
        for row in result["rows"]:
            labels, hidden = row["labels_per_class"], row["hidden"]
            key = measure_of(titles[task], labels, hidden) + (suffix if hidden else "")
            scores[key] = {
                named(method): values[score] for method, values in row["scores"].items()
            }
            if score == "accuracy":
                scores[key + OVER_SAMPLES] = {
                    pair.partition(" - ")[2]: difference["half_width"]
                    for pair, difference in row["differences"].items()
                }
    return scores


def measure_of(probe: str, labels: int | str, hidden: float) -> str:
    """The key of a probe's scores. hidden: share of each test sample."""
    return f"{probe}, {labels} labels a class, {100 * hidden:g}% hidden"


def named(method: str) -> str:
    """One name for this project's encoder in all results."""
    return "r2mae" if method in ("pretrained", "run") else method


def merged(parts: list[Scores]) -> Scores:
    """Scores of all parts in one table."""
    scores: Scores = {}
    for part in parts:
        for key, methods in part.items():
            scores.setdefault(key, {}).update(methods)
    return scores


def compared(
    key: str, predicted: dict[str, np.ndarray], expected: np.ndarray
) -> Scores:
    """Accuracy of each method, and intervals of differences over test samples.

    predicted: (draws, N) classes, of draws of labels. expected: (N,) classes.
    """
    from r2mae.evaluation.probe import compare

    accuracies = {
        method: float((labels == expected).mean())
        for method, labels in predicted.items()
    }
    halves = {
        method: compare(predicted["r2mae"], labels, expected).half_width
        for method, labels in predicted.items()
        if method != "r2mae"
    }
    return {key: accuracies, key + OVER_SAMPLES: halves}
