"""What an encoder of DNA is worth: worth.py --wing dna.

Small dilated convolutions are pretrained on the training sequences of three GUE tasks without their labels
(recipes/dna/gue_sequences_conv.yaml, made smaller and from random weights), with five seeds. Then they are fine-tuned
with 500 labels a class, and tested on each task's test split, from the same labels for all. Baselines:
- scratch: the same network from random weights, fine-tuned for as many steps. On the core promoters also longer: for
  the steps that pretraining and fine-tuning together have time for. A step's time is that of the short run with its
  start, so the longer one ends after about three quarters of that time.
- k-mers: logistic regression on TF-IDF of 4- to 6-mers, regularised by cross-validation on the labels at hand.
All methods read both strands of tf_0.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from worth_runs import (
    DATA,
    ROOT,
    Scores,
    compared,
    merged,
    predictions_of,
    settings,
    train,
    tuned_run,
)

NAMES = ("prom_core_all", "tf_0", "prom_300_tata")
PEERS = ("k-mers", "scratch", "scratch, longer")
BOTH_STRANDS = ("tf_0",)  # a protein binds either strand
GUE = DATA / "dna" / "gue"
ENCODER = ("model.width=96", "model.depth=6")
PRETRAIN = (
    f"data.root={GUE}",
    "model.init_from=null",
    *ENCODER,
    "optimizer.lr=2.0e-3",
    "schedule={epochs: 2, warmup_steps: 100, decay: cosine}",
)
LABELS, STEPS, BATCH = 500, 300, 64


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one task and seed."""
    run, recipe = f"gue_{seed}", "dna/gue_sequences_conv.yaml"
    seconds = train(work, "pretrain", run, recipe, f"seed={seed}", *PRETRAIN)
    scores = fine_tune(name, run, seed, seconds, work)
    return merged([scores, {"CPU seconds": {"r2mae": seconds}}])


def fine_tune(name: str, run: str, seed: int, seconds: float, work: Path) -> Scores:
    """Accuracy with few labels: pretrained, from random weights, and k-mers.

    seconds: CPU time of pretraining.
    """
    scratch = ("model.init_from=null", "tune.layer_decay=1.0")
    pretrained = f"model.init_from={work / 'runs' / run}"
    predicted: dict[str, np.ndarray] = {}  # (2, N) predicted and true classes

    def tune(method: str, steps: int, *values: str) -> float:
        table = f"{name}_{seed}_{method.replace(', ', '_').replace(' ', '_')}"
        options = (*tuning_values(name, seed, steps), *values)
        spent = train(work, "finetune", table, "dna/gue_finetune.yaml", *options)
        predicted[method] = predictions_of(tuned_run(work, table, LABELS, seed))
        return spent

    tune("r2mae", STEPS, pretrained)
    spent = tune("scratch", STEPS, *scratch)
    if name == "prom_core_all":
        longer = round(STEPS * (seconds + spent) / spent)
        tune("scratch, longer", longer, *scratch)
    values = settings(*tuning_values(name, seed, STEPS))[1::2]
    predicted["k-mers"] = count_kmers([*values, "model.init_from=null"])
    expected = predicted["r2mae"][1]
    classes = {method: both[:1] for method, both in predicted.items()}
    return compared(f"{LABELS} labels a class", classes, expected)


def tuning_values(name: str, seed: int, steps: int) -> tuple[str, ...]:
    """Overrides of the fine-tuning recipe."""
    return (
        f"data.root={GUE / name}",
        f"data.both_strands={str(name in BOTH_STRANDS).lower()}",
        *ENCODER,
        f"seed={seed}",
        f"repeat={{seeds: 1, labels_per_class: [{LABELS}]}}",
        f"batch.global_samples={BATCH}",
        f"watch={{every_steps: {steps}, samples: 500}}",
        f"schedule={{steps: {steps}, warmup_steps: 30, decay: cosine}}",
    )


def count_kmers(values: list[str]) -> np.ndarray:
    """(2, N) predicted and true classes of the test split, from the labels that fine-tuning has.

    values: overrides of the fine-tuning recipe.
    """
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.labels import choose_labelled, open_labelled
    from r2mae.recipe.load import load_recipe

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
    """The bases of every sample, a letter each; then those of the other strand, where the split reads both."""
    import torch

    batch = split.load(torch.arange(len(split)), None, 0)
    texts = letters(batch)
    if "other_strand" not in batch:
        return texts
    others = letters(batch["other_strand"])
    return [f"{text} {other}" for text, other in zip(texts, others, strict=True)]


def letters(batch: Any) -> list[str]:
    """The bases (B, L) of a batch as texts."""
    from r2mae.modalities.dna.tokens import PADDING

    bases = batch["bases"].numpy()
    return ["".join("ACGTN"[code] for code in row if code < PADDING) for row in bases]
