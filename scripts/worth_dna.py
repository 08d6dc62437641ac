"""What an encoder of DNA is worth: worth.py --wing dna.

Small dilated convolutions are pretrained on the training sequences of three GUE tasks without their labels
(recipes/dna/gue_sequences_conv.yaml, made smaller and from random weights), with five seeds. Then they are fine-tuned
with 100 and 500 labels a class, and tested on each task's test split, from the same labels for all. Baselines:
- scratch: the same network from random weights, fine-tuned for as many steps; and, with 500 labels of the core
  promoters, for as many bases as pretraining and fine-tuning read together.
- k-mers: logistic regression on TF-IDF of 4- to 6-mers, regularised by cross-validation on the labels at hand.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from worth_runs import DATA, ROOT, Scores, compared, merged, settings, train

NAMES = ("prom_core_all", "tf_0", "prom_300_tata")
PEERS = ("k-mers", "scratch", "scratch, equal bases")
GUE = DATA / "dna" / "gue"
ENCODER = ("model.width=96", "model.depth=6")
PRETRAIN = (
    f"data.root={GUE}",
    "model.init_from=null",
    *ENCODER,
    "optimizer.lr=2.0e-3",
    "schedule={epochs: 2, warmup_steps: 100, decay: cosine}",
)
LABELS, STEPS, BATCH = (100, 500), 300, 64
BASES = 2 * 8_056_298  # of pretraining


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one task and seed."""
    run, recipe = f"gue_{seed}", "dna/gue_sequences_conv.yaml"
    seconds = train(work, "pretrain", run, recipe, f"seed={seed}", *PRETRAIN)
    parts = [fine_tune(name, run, count, seed, work) for count in LABELS]
    return merged([*parts, {"CPU seconds": {"r2mae": seconds}}])


def fine_tune(name: str, run: str, count: int, seed: int, work: Path) -> Scores:
    """Accuracy with some labels a class: pretrained, from random weights, and k-mers."""
    scratch = ("model.init_from=null", "tune.layer_decay=1.0")
    arms = {
        "r2mae": ((f"model.init_from={work / 'runs' / run}",), STEPS),
        "scratch": (scratch, STEPS),
    }
    if name == "prom_core_all" and count == LABELS[-1]:
        longer = STEPS + BASES // (BATCH * 70)
        arms["scratch, equal bases"] = (scratch, longer)
    predicted: dict[str, np.ndarray] = {}
    for method, (values, steps) in arms.items():
        table = f"{name}_{seed}_{count}_{method.replace(', ', '_').replace(' ', '_')}"
        options = (*tuning_values(name, count, seed, steps), *values)
        train(work, "finetune", table, "dna/gue_finetune.yaml", *options)
        folder = work / "runs" / table / f"labels_{count}" / f"seed_{seed}"
        predicted[method] = np.load(folder / "test_predictions.npy")
    values = settings(*tuning_values(name, count, seed, STEPS))[1::2]
    predicted["k-mers"] = count_kmers([*values, "model.init_from=null"])
    return compared(f"{count} labels a class", predicted)


def tuning_values(name: str, count: int, seed: int, steps: int) -> tuple[str, ...]:
    """Overrides of the fine-tuning recipe."""
    return (
        f"data.root={GUE / name}",
        *ENCODER,
        f"seed={seed}",
        f"repeat={{seeds: 1, labels_per_class: [{count}]}}",
        f"batch.global_samples={BATCH}",
        f"schedule={{steps: {steps}, warmup_steps: 30, decay: cosine}}",
    )


def count_kmers(values: list[str]) -> np.ndarray:
    """(2, N) predicted and true classes of the test split, from the labels that fine-tuning has.

    values: overrides of the fine-tuning recipe.
    """
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.load import load_recipe
    from r2mae.recipe.tasks import choose_labelled, open_labelled

    path = str(ROOT / "recipes" / "dna" / "gue_finetune.yaml")
    recipe: Any = load_recipe(path, values, task="finetune")
    train_split = choose_labelled(recipe, open_labelled(recipe)[0])
    test_split = open_split(recipe, "test")
    kmers = TfidfVectorizer(
        analyzer="char", ngram_range=(4, 6), lowercase=False, sublinear_tf=True
    )
    train_features = kmers.fit_transform(sequences(train_split))
    model = LogisticRegressionCV(
        Cs=[0.1, 1, 10, 100],
        cv=3,
        max_iter=1000,
        l1_ratios=(0,),
        scoring="accuracy",
        use_legacy_attributes=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_features, train_split.labels)
    predicted = model.predict(kmers.transform(sequences(test_split)))
    return np.stack([predicted, test_split.labels])


def sequences(split: Any) -> list[str]:
    """The bases of every sample, a letter each."""
    import torch

    from r2mae.modalities.dna.tokens import PADDING

    bases = split.load(torch.arange(len(split)), None, 0)["bases"].numpy()
    return ["".join("ACGTN"[code] for code in row if code < PADDING) for row in bases]
