"""What an encoder of DNA is worth: worth.py --wing dna.

Small dilated convolutions are pretrained on the training sequences of three GUE tasks without their labels
(recipes/dna/gue_sequences_conv.yaml, made smaller and from random weights), with five seeds. Then they are fine-tuned
with 500 labels a class, and tested on each task's test split, from the same labels for all. Baselines:
- scratch: the same network from random weights, fine-tuned for as many steps. On the core promoters also longer: for
  the steps that pretraining and fine-tuning together have time for. A step's time is that of the short run with its
  start, so the longer one ends after about three quarters of that time.
- k-mers: logistic regression on TF-IDF of 4- to 6-mers, regularised by cross-validation on the labels at hand.
All methods read both strands of tf_0. The test splits of two tasks are small, so accuracy is also measured on the
training sequences that are not labelled: what labels of a part of a collection give for its rest. Pretraining has seen
these without labels, like all training sequences, and so has the TF-IDF of k-mers.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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
Classes = npt.NDArray[np.int64]  # (N,)
ENCODER = ("model.width=96", "model.depth=6")
PRETRAIN = (
    f"data.root={GUE}",
    "model.init_from=null",
    *ENCODER,
    "optimizer.lr=2.0e-3",
    "schedule={epochs: 2, warmup_steps: 100, decay: cosine}",
)
LABELS, STEPS, BATCH = 500, 300, 64
ON_TEST = f"{LABELS} labels a class"
ON_REST = f"{ON_TEST}, the rest of training"


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
    options = tuning_values(name, seed, STEPS)
    labelled, *others = labelled_and_others(options)
    predicted: dict[str, list[Classes]] = {}  # of the test split, and of the rest

    def tune(method: str, steps: int, *values: str) -> float:
        table = f"{name}_{seed}_{method.replace(', ', '_').replace(' ', '_')}"
        chosen = (*tuning_values(name, seed, steps), *values)
        spent = train(work, "finetune", table, "dna/gue_finetune.yaml", *chosen)
        tuned = tuned_run(work, table, LABELS, seed)
        predicted[method] = [predictions_of(tuned)[0], predict(tuned, others[1])]
        return spent

    tune("r2mae", STEPS, pretrained)
    spent = tune("scratch", STEPS, *scratch)
    if name == "prom_core_all":
        longer = round(STEPS * (seconds + spent) / spent)
        tune("scratch, longer", longer, *scratch)
    predicted["k-mers"] = count_kmers(labelled, others)
    parts = []
    for part, key in enumerate((ON_TEST, ON_REST)):
        classes = {method: each[part][None] for method, each in predicted.items()}
        parts.append(compared(key, classes, others[part].labels))
    return merged(parts)


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


def labelled_and_others(options: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """(the labelled samples that fine-tuning trains on, the test split, the other training samples).

    options: overrides of the fine-tuning recipe.
    """
    from r2mae.data.source import Chosen
    from r2mae.recipe.assembly import open_split
    from r2mae.recipe.labels import choose_labelled, open_labelled
    from r2mae.recipe.load import load_recipe

    path = str(ROOT / "recipes" / "dna" / "gue_finetune.yaml")
    values = settings(*options, "model.init_from=null")[1::2]
    recipe: Any = load_recipe(path, values, task="finetune")
    train_split = open_labelled(recipe)[0]
    labelled = choose_labelled(recipe, train_split)
    known = set(sequences(labelled))
    others = [
        row for row, each in enumerate(sequences(train_split)) if each not in known
    ]
    return labelled, open_split(recipe, "test"), Chosen(train_split, np.array(others))


def predict(run: Path, source: Any) -> Classes:
    """(N,) predicted classes, in the numbering of the source."""
    from r2mae.evaluation.features import extract
    from r2mae.recipe.run import load_run

    loaded: Any = load_run(str(run))
    assert dict(enumerate(loaded.manifest["class_names"])) == source.class_names
    return extract(loaded.model, source, "forward").argmax(axis=1)


def count_kmers(labelled: Any, others: list[Any]) -> list[Classes]:
    """Predicted classes of the other splits, by counts of k-mers and the labels at hand."""
    kmers = TfidfVectorizer(
        analyzer="char", ngram_range=(4, 6), lowercase=False, sublinear_tf=True
    )
    rest = sequences(others[-1])
    kmers.fit(sequences(labelled) + rest)
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
        model.fit(kmers.transform(sequences(labelled)), labelled.labels)
    return [model.predict(kmers.transform(sequences(each))) for each in others]


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
