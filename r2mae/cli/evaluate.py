"""`r2mae evaluate`: frozen features of a run against labels, on the test split."""

import argparse
import json
import sys
import time
from typing import Any


def run(arguments: argparse.Namespace) -> None:
    """Score, and print a table or JSON."""
    from r2mae.recipe import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    scores = score(loaded, [arguments.task], arguments.labels_per_class, arguments.draws, arguments.baselines)
    result = {
        "run": arguments.run,
        "checkpoint_step": loaded.manifest["step"],
        "task": arguments.task,
        "split": "test",
        "labels_per_class": arguments.labels_per_class or "all",
        "scores": {name: tasks[arguments.task] for name, tasks in scores.items()},
    }
    print(json.dumps(result)) if arguments.json else print_scores(scores, arguments.labels_per_class)


def score(
    loaded: Any, tasks: list[str], labels_per_class: int | None, draws: int, baselines: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """{encoder: {task: {accuracy, half_width, draws}}} of a run, train to test split."""
    import numpy as np

    from r2mae.evaluation.features import extract_labelled, require_labels
    from r2mae.evaluation.probe import probe
    from r2mae.metrics.few_label import few_label_draws
    from r2mae.recipe import build_model, open_split

    train, test = open_split(loaded.recipe, "train"), open_split(loaded.recipe, "test")
    chosen = few = None
    if labels_per_class is not None:  # only what is drawn is embedded
        found = few_label_draws(require_labels(train), labels_per_class, draws, seed=0)
        chosen = np.unique(np.concatenate(found))
        few = [np.searchsorted(chosen, draw) for draw in found]
    encoders: list[tuple[str, Any, str]] = [("pretrained", loaded.model, "embed")]
    if baselines:
        encoders.append(("untrained", build_model(loaded.recipe), "embed"))
        encoders.append(("raw input", loaded.model, "baseline"))
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for name, model, kind in encoders:
        known = extract_labelled(model, train, chosen, kind=kind, progress=show(f"{name}, train"))
        asked = extract_labelled(model, test, kind=kind, progress=show(f"{name}, test"))
        scores[name] = {task: probe(task, known, asked, draws=few).to_dict() for task in tasks}  # type: ignore[arg-type]
    return scores


def print_scores(scores: dict[str, dict[str, dict[str, Any]]], labels_per_class: int | None) -> None:
    """A line an encoder and task."""
    print(f"test accuracy, {labels_per_class or 'all'} labels a class")
    for name, tasks in scores.items():
        for task, found in tasks.items():
            spread = f" ± {found['half_width']:.3f} (95 %, {found['draws']} draws)" if found["half_width"] else ""
            print(f"  {name:<12} {task:<13} {found['accuracy']:.3f}{spread}")


def show(what: str) -> Any:
    """A progress callback: one live line on a terminal, a line every ten seconds elsewhere."""
    start = shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if not sys.stderr.isatty() and now - shown > 10:
            shown, rate = now, done / (now - start)
            line = f"{what}: {done:,}/{total:,} samples, {rate:,.0f}/s, {(total - done) / rate:,.0f} s left"
            print(line, file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{what}: {done:,}/{total:,} samples" + ("\n" if done == total else ""))
            sys.stderr.flush()

    return progress
