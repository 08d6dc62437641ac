"""What an encoder of images is worth: worth.py --wing vision.

A small ViT is pretrained on 49,000 images of CIFAR-10 without their labels (recipes/vision/cifar10_vit_tiny.yaml, made
smaller), with five seeds. Accuracy of a linear probe on the 10,000 test images, from three draws of labels, also with
half of each test image hidden. Baselines: the untrained encoder and raw pixels, which see the same patches.
"""

from pathlib import Path

from worth_runs import DATA, Scores, probes, train

NAMES = ("cifar10",)
PEERS = ("untrained", "raw input")
PROBES = {"linear_probe": "linear probe"}
OF_DATA = f"data.root={DATA / 'vision' / 'cifar10_jpeg'}"
ENCODER = ("model.width=128", "model.depth=4", "model.heads=4")
PRECISION = "hardware.precision=32-true"
PRETRAIN = (
    OF_DATA,
    PRECISION,
    *ENCODER,
    "mask={ratio: {uniform: {low: 0.5, high: 0.95}}, levels: 8, scope: step, pattern: random}",
    "schedule={steps: 300, warmup_steps: 30, decay: cosine}",
    "watch={knn: false, linear_probe: false, pictures: false, samples: 500}",
)
LABELS, HIDDEN = (10, 100), (0, 0.5)


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one seed."""
    run, recipe = f"{name}_{seed}", "vision/cifar10_vit_tiny.yaml"
    seconds = train(work, "pretrain", run, recipe, f"seed={seed}", *PRETRAIN)
    options = ["--task", ",".join(PROBES), "--draws", "3"]
    options += ["--labels-per-class", ",".join(map(str, LABELS))]
    options += ["--hidden", ",".join(map(str, HIDDEN))]
    scores = probes(work, run, options, "accuracy", PROBES)
    return scores | {"CPU seconds": {"r2mae": seconds}}
