"""What an encoder of images is worth: worth.py --wing vision.

A small ViT is pretrained on 49,000 images of CIFAR-10 without their labels (recipes/vision/cifar10_vit_tiny.yaml, made
smaller), with five seeds, about 21 CPU minutes each. Accuracy on the 10,000 test images:
- of a linear probe with 10 and 100 labels a class, three draws of labels, also with half and three quarters of each
  test image hidden; the probe has then seen complete images alone, or copies with as much hidden too. Baselines: the
  untrained encoder and raw pixels, which see the same patches.
- of fine-tuning with 100 labels a class (recipes/vision/cifar10_finetune.yaml). Baseline: the same network from random
  weights, for half of the operations that pretraining and fine-tuning take together. For all, seed 1 was worse.
"""

from pathlib import Path

from worth_runs import (
    DATA,
    Scores,
    checked,
    compared,
    merged,
    predictions_of,
    probes,
    train,
    tuned_run,
)

NAMES = ("cifar10",)
PEERS = ("untrained", "raw input", "scratch")
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
LABELS, HIDDEN = (10, 100), (0, 0.5, 0.75)
FINETUNE_LABELS, FINETUNE_STEPS = 100, 500
PRETRAIN_RECIPE = "vision/cifar10_vit_tiny.yaml"
FINETUNE_RECIPE = "vision/cifar10_finetune.yaml"


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one seed."""
    run = f"{name}_{seed}"
    seconds = train(work, "pretrain", run, PRETRAIN_RECIPE, f"seed={seed}", *PRETRAIN)
    options = ["--task", ",".join(PROBES), "--draws", "3"]
    options += ["--labels-per-class", ",".join(map(str, LABELS))]
    options += ["--hidden", ",".join(map(str, HIDDEN))]
    copies = [*options, "--hide-in-training"]
    scores = [
        probes(work, run, copies, "accuracy", PROBES, ", also in training"),
        probes(work, run, options, "accuracy", PROBES),
        fine_tune(run, seed, work),
    ]
    return merged([*scores, {"CPU seconds": {"r2mae": seconds}}])


def fine_tune(run: str, seed: int, work: Path) -> Scores:
    """Accuracy after fine-tuning with few labels, from a pretrained run and from scratch."""
    starts = {
        "r2mae": (FINETUNE_STEPS, f"model.init_from={work / 'runs' / run}"),
        "scratch": (scratch_steps(work), *FROM_SCRATCH),
    }
    predicted = {}
    for method, (steps, *values) in starts.items():
        table = f"{run}_{method}"
        options = (*tuning_values(steps), f"seed={seed}", *values)
        train(work, "finetune", table, FINETUNE_RECIPE, *options)
        folder = tuned_run(work, table, FINETUNE_LABELS, seed)
        predicted[method] = predictions_of(folder)
    expected = predicted["r2mae"][1]
    classes = {method: both[:1] for method, both in predicted.items()}
    return compared(f"fine-tuned, {FINETUNE_LABELS} labels a class", classes, expected)


def tuning_values(steps: int) -> tuple[str, ...]:
    """Overrides of the fine-tuning recipe."""
    return (
        *ALL_RUNS,
        f"repeat={{seeds: 1, labels_per_class: [{FINETUNE_LABELS}]}}",
        "batch.global_samples=64",
        f"schedule={{steps: {steps}, warmup_steps: {steps // 10}, decay: cosine}}",
        f"watch={{every_steps: {steps}, samples: 1000}}",
    )


def scratch_steps(work: Path) -> int:
    """Steps from scratch with half of the operations of pretraining and fine-tuning."""
    values = (*tuning_values(FINETUNE_STEPS), *FROM_SCRATCH)
    pretraining = checked(work, PRETRAIN_RECIPE, *PRETRAIN)["training_pflop"]
    plans = checked(work, FINETUNE_RECIPE, *values)["plans"]
    fine_tuning = plans[str(FINETUNE_LABELS)]["training_pflop"]
    return round((pretraining + fine_tuning) / fine_tuning * FINETUNE_STEPS / 2)
