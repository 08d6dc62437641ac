"""What an encoder of images is worth: worth.py --wing vision.

A small ViT is pretrained on 49,000 images of CIFAR-10 without their labels (recipes/vision/cifar10_vit_tiny.yaml, made
smaller), with five seeds. Accuracy on the 10,000 test images, from the same labels for all:
- a linear probe on frozen features, three draws of labels, also with half of each test image hidden. Baselines: the
  untrained encoder and raw pixels, which see the same patches.
- fine-tuned with 100 labels a class, against the same network from random weights, for as many operations as
  pretraining and fine-tuning take together. From random weights all layers learn at one rate.
"""

import json
from pathlib import Path

import numpy as np
from worth_runs import (
    DATA,
    ROOT,
    Scores,
    compared,
    merged,
    probes,
    r2mae,
    settings,
    train,
)

NAMES = ("cifar10",)
PEERS = ("untrained", "raw pixels", "scratch")
PROBES = {"linear_probe": "linear probe"}
OF_DATA = f"data.root={DATA / 'vision' / 'cifar10_jpeg'}"
ENCODER = ("model.width=128", "model.depth=4", "model.heads=4")
PRECISION = "hardware.precision=32-true"
PRETRAIN = (
    OF_DATA,
    PRECISION,
    *ENCODER,
    "mask.ratio={uniform: {low: 0.5, high: 0.95}}",
    "schedule={steps: 300, warmup_steps: 30, decay: cosine}",
    "watch={knn: false, linear_probe: false, pictures: false, samples: 500}",
)
LABELS, HIDDEN = (10, 100), (0, 0.5)
TUNED, STEPS, BATCH = 100, 150, 64  # labels a class, steps and images of fine-tuning


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one seed."""
    run, recipe = f"{name}_{seed}", "vision/cifar10_vit_tiny.yaml"
    seconds = train(work, "pretrain", run, recipe, f"seed={seed}", *PRETRAIN)
    options = ["--task", ",".join(PROBES), "--draws", "3"]
    options += ["--labels-per-class", ",".join(map(str, LABELS))]
    options += ["--hidden", ",".join(map(str, HIDDEN))]
    scores = probes(work, run, options, "accuracy", PROBES)
    tuned = fine_tune(run, seed, work)
    return merged([scores, tuned, {"CPU seconds": {"r2mae": seconds}}])


def fine_tune(run: str, seed: int, work: Path) -> Scores:
    """Accuracy with some labels a class: pretrained, and from random weights."""
    pretraining, tuning = operations(work)
    longer = round(STEPS * (pretraining + tuning) / tuning)
    scratch = ("model.init_from=null", "tune.layer_decay=1.0")
    pretrained = (f"model.init_from={work / 'runs' / run}",)
    arms = {"r2mae": (pretrained, STEPS), "scratch": (scratch, longer)}
    predicted = {}
    for method, (values, steps) in arms.items():
        name = f"{run}_{method}"
        recipe = "vision/cifar10_finetune.yaml"
        options = (*tuning_values(steps), f"seed={seed}", *values)
        train(work, "finetune", name, recipe, *options)
        folder = work / "runs" / name / f"labels_{TUNED}" / f"seed_{seed}"
        predicted[method] = np.load(folder / "test_predictions.npy")
    return compared(f"fine-tuned, {TUNED} labels a class", predicted)


def tuning_values(steps: int) -> tuple[str, ...]:
    """Overrides of the fine-tuning recipe."""
    warmup = max(1, steps // 10)
    return (
        OF_DATA,
        PRECISION,
        *ENCODER,
        f"repeat={{seeds: 1, labels_per_class: [{TUNED}]}}",
        f"batch.global_samples={BATCH}",
        f"watch={{every_steps: {steps}, samples: 500}}",
        f"schedule={{steps: {steps}, warmup_steps: {warmup}, decay: cosine}}",
    )


def operations(work: Path) -> tuple[float, float]:
    """PFLOP of pretraining, and of fine-tuning, by `r2mae check`."""
    recipes = ROOT / "recipes" / "vision"
    pretrain = [str(recipes / "cifar10_vit_tiny.yaml"), *settings(*PRETRAIN)]
    tune = settings(*tuning_values(STEPS), "model.init_from=null")
    of_tuning = [str(recipes / "cifar10_finetune.yaml"), *tune]
    first = json.loads(r2mae(work, "check", *pretrain, "--json"))
    second = json.loads(r2mae(work, "check", *of_tuning, "--json"))
    (plan,) = second["plans"].values()
    return first["training_pflop"], plan["training_pflop"]
