"""What an encoder of texts is worth: worth.py --wing language.

A small ModernBERT is pretrained on the training phrases of SST-2 without their labels (recipes/language/
sst2_phrases.yaml), with five seeds. Accuracy on the 872 sentences of dev, by a linear probe on frozen features from 16,
64 and 256 labels a class (10 draws) and from all 67,349, also with half of each test sentence's tokens hidden.
Baselines: the untrained encoder; TF-IDF of the same tokens and logistic regression; TF-IDF of words and pairs of words,
which sees complete sentences only. Their regularisation is chosen by cross-validation on the labels at hand.
"""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from worth_runs import DATA, ROOT, Scores, compared, train

NAMES = ("sst2",)
PEERS = ("untrained", "TF-IDF", "TF-IDF of words")
ROOT_OF_DATA = f"data.root={DATA / 'language' / 'sst2'}"
LABELS, DRAWS, HIDDEN = (16, 64, 256, None), 10, (0.0, 0.5)


def measure(name: str, seed: int, work: Path, _: str | None) -> Scores:
    """Scores of one seed."""
    run = f"{name}_{seed}"
    recipe = "language/sst2_phrases.yaml"
    seconds = train(work, "pretrain", run, recipe, f"seed={seed}", ROOT_OF_DATA)
    return probe(work / "runs" / run) | {"CPU seconds": {"r2mae": seconds}}


def probe(folder: Path) -> Scores:
    """Accuracy of all methods, from the same labels."""
    from r2mae.evaluation.compared import compared_encoders
    from r2mae.evaluation.features import extract_each_labelled
    from r2mae.evaluation.probe import probe_predictions
    from r2mae.metrics.few_label import few_label_draws
    from r2mae.recipe.load import load_recipe
    from r2mae.recipe.run import load_run

    loaded = load_run(str(folder))
    values = [
        f"data.tokenizer={folder}",
        f"model.init_from={folder}",
        ROOT_OF_DATA,
    ]
    path = str(ROOT / "recipes" / "language" / "sst2_finetune.yaml")
    recipe = load_recipe(path, values, task="finetune")
    splits = {
        split: loaded.wing.open_split(recipe, split) for split in ("train", "test")
    }
    encoders = [(each.model, each.kind) for each in compared_encoders(loaded, True)]
    of_train = extract_each_labelled(encoders, splits["train"])
    texts = {split: sentences(split) for split in splits}
    assert len(texts["train"]) == len(of_train[0].labels), (
        "the order must be the file's"
    )
    scores: Scores = {}
    for hidden in HIDDEN:
        of_test = extract_each_labelled(encoders, splits["test"], hidden=hidden)
        expected = of_test[0].labels
        for count in LABELS:
            draws = count and few_label_draws(of_train[0].labels, count, DRAWS, 0)
            predicted = {
                method: probe_predictions(
                    "linear_probe", of_train[place], of_test[place], draws=draws
                )
                for place, method in enumerate(("r2mae", "untrained"))
            }
            counts = of_train[2].features, of_test[2].features
            labels = of_train[0].labels
            predicted["TF-IDF"] = logistic(tf_idf(*counts), labels, draws)
            if not hidden:
                pairs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
                words = (
                    pairs.fit_transform(texts["train"]),
                    pairs.transform(texts["test"]),
                )
                predicted["TF-IDF of words"] = logistic(words, labels, draws)
            key = f"linear probe, {count or 'all'} labels a class, {hidden:.0%} hidden"
            scores |= compared(key, predicted, expected)
    return scores


def sentences(split: str) -> list[str]:
    """The sentences of a split, in the order of its file."""
    name = {"train": "train.tsv", "test": "dev.tsv"}[split]
    lines = (DATA / "language" / "sst2" / name).read_text().splitlines()
    column = lines[0].split("\t").index("sentence")
    return [line.split("\t")[column] for line in lines[1:]]


def tf_idf(train: np.ndarray, test: np.ndarray) -> tuple[Any, Any]:
    """Weighted and normalised counts of tokens, which come as log1p of counts."""
    from scipy import sparse

    weights = TfidfTransformer().fit(sparse.csr_matrix(train))
    return tuple(weights.transform(sparse.csr_matrix(part)) for part in (train, test))


def logistic(
    features: tuple[Any, Any], labels: np.ndarray, draws: list[np.ndarray] | None
) -> np.ndarray:
    """(draws, test samples) predicted labels."""
    train, test = features
    rows = draws if draws is not None else [np.arange(len(labels))]
    predicted = []
    for row in rows:
        model = LogisticRegressionCV(
            Cs=[1, 10, 100],
            cv=3,
            max_iter=1000,
            l1_ratios=(0,),
            scoring="accuracy",
            use_legacy_attributes=False,
        )
        predicted.append(model.fit(train[row], labels[row]).predict(test))
    return np.stack(predicted)
