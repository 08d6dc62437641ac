"""What an encoder of images is worth: worth.py --wing vision.

A small ViT is pretrained on 49,000 images of CIFAR-10 without their labels (recipes/vision/cifar10_vit_tiny.yaml, made
smaller), with five seeds. Accuracy on the 10,000 test images, with 10 and 100 labels a class:
- of a linear probe, from three draws of labels, also with half of each test image hidden. Baselines: the untrained
  encoder and raw pixels, which see the same patches.
- of fine-tuning (recipes/vision/cifar10_finetune.yaml). Baselines: the same network from random weights, for as many
  operations as pretraining and fine-tuning take together, and for half of them. With 10 labels a class only for half.
"""

from pathlib import Path

import numpy as np
from worth_runs import (
    DATA,
    Scores,
    checked,
    compared,
    merged,
    probes,
    train,
)

NAMES = ("cifar10",)
PEERS = ("untrained", "raw input", "scratch", "scratch, half as long")
PROBES = {"linear_probe": "linear probe"}
ALL_RUNS = (
    f"data.root={DATA / 'vision' / 'cifar10_jpeg'}",
    "hardware.precision=32-true",
    "model.width=128",
    "model.depth=4",
    "model.heads=4",
)
PRETRAIN = (
    *ALL_RUNS,
    "mask={ratio: {uniform: {low: 0.5, high: 0.95}}, levels: 8, scope: step, pattern: random}",
    "schedule={steps: 900, warmup_steps: 60, decay: cosine}",
    "watch={knn: false, linear_probe: false, pictures: false, samples: 500}",
)
FROM_SCRATCH = ("model.init_from=null", "tune.layer_decay=1.0")
HIDDEN = (0, 0.5)
FINETUNE_STEPS = {10: 200, 100: 500}  # by labels a class; batches of 64 images
PRETRAIN_RECIPE = "vision/cifar10_vit_tiny.yaml"
FINETUNE_RECIPE = "vision/cifar10_finetune.yaml"


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one seed."""
    run = f"{name}_{seed}"
    seconds = train(work, "pretrain", run, PRETRAIN_RECIPE, f"seed={seed}", *PRETRAIN)
    options = ["--task", ",".join(PROBES), "--draws", "3"]
    options += ["--labels-per-class", ",".join(map(str, FINETUNE_STEPS))]
    options += ["--hidden", ",".join(map(str, HIDDEN))]
    scores = [probes(work, run, options, "accuracy", PROBES)]
    scores += [fine_tune(run, labels, seed, work) for labels in FINETUNE_STEPS]
    return merged([*scores, {"CPU seconds": {"r2mae": seconds}}])


def fine_tune(run: str, labels: int, seed: int, work: Path) -> Scores:
    """Accuracy after fine-tuning with few labels, from a pretrained run and from scratch."""
    steps, longest = FINETUNE_STEPS[labels], scratch_steps(labels, work)
    starts = {"r2mae": (steps, f"model.init_from={work / 'runs' / run}")}
    starts["scratch, half as long"] = (longest // 2, *FROM_SCRATCH)
    if labels > min(FINETUNE_STEPS):
        starts["scratch"] = (longest, *FROM_SCRATCH)
    predicted = {}
    for method, (length, *values) in starts.items():
        table = f"{run}_{labels}_{method.replace(', ', '_').replace(' ', '_')}"
        options = (*tuning_values(labels, length), f"seed={seed}", *values)
        train(work, "finetune", table, FINETUNE_RECIPE, *options)
        folder = work / "runs" / table / f"labels_{labels}" / f"seed_{seed}"
        predicted[method] = np.load(folder / "test_predictions.npy")
    expected = predicted["r2mae"][1]
    classes = {method: both[:1] for method, both in predicted.items()}
    return compared(f"fine-tuned, {labels} labels a class", classes, expected)


def tuning_values(labels: int, steps: int) -> tuple[str, ...]:
    """Overrides of the fine-tuning recipe."""
    return (
        *ALL_RUNS,
        f"repeat={{seeds: 1, labels_per_class: [{labels}]}}",
        "batch.global_samples=64",
        f"schedule={{steps: {steps}, warmup_steps: {steps // 10}, decay: cosine}}",
        f"watch={{every_steps: {steps}, samples: 1000}}",
    )


def scratch_steps(labels: int, work: Path) -> int:
    """Steps from scratch that have the operations of pretraining and fine-tuning together."""
    steps = FINETUNE_STEPS[labels]
    values = (*tuning_values(labels, steps), *FROM_SCRATCH)
    pretraining = checked(work, PRETRAIN_RECIPE, *PRETRAIN)["training_pflop"]
    plans = checked(work, FINETUNE_RECIPE, *values)["plans"]
    return steps + round(steps * pretraining / plans[str(labels)]["training_pflop"])
