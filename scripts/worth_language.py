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
from worth_runs import DATA, ROOT, Scores, compared, measure_of, train

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
    from r2mae.metrics.few_label import few_label_draws
    from r2mae.recipe.run import load_run

    loaded = load_run(str(folder))
    recipe = labelled_recipe(folder)
    train, test = (loaded.wing.open_split(recipe, split) for split in ("train", "test"))
    encoders = [(each.model, each.kind) for each in compared_encoders(loaded, True)]
    of_train = extract_each_labelled(encoders, train)
    labels = of_train[0].labels
    texts = sentences("train"), sentences("test")
    assert len(texts[0]) == len(labels), "the order must be the file's"
    scores: Scores = {}
    for hidden in HIDDEN:
        of_test = extract_each_labelled(encoders, test, hidden=hidden)
        for count in LABELS:
            draws = count and few_label_draws(labels, count, DRAWS, 0)
            predicted = predict(of_train, of_test, draws)
            if not hidden:
                words = logistic(weighted_words(*texts), labels, draws)
                predicted["TF-IDF of words"] = words
            key = measure_of("linear probe", count or "all", hidden)
            scores |= compared(key, predicted, of_test[0].labels)
    return scores


def labelled_recipe(folder: Path) -> Any:
    """The labelled sentences, read with the tokenizer of a run."""
    from r2mae.recipe.load import load_recipe

    start = [f"data.tokenizer={folder}", f"model.init_from={folder}", ROOT_OF_DATA]
    path = str(ROOT / "recipes" / "language" / "sst2_finetune.yaml")
    return load_recipe(path, start, task="finetune")


def predict(
    of_train: list[Any], of_test: list[Any], draws: list[np.ndarray] | None
) -> dict[str, np.ndarray]:
    """(draws, test samples) classes by method. Features: pretrained, untrained, counts of tokens."""
    from r2mae.evaluation.probe import probe_predictions

    predicted = {
        method: probe_predictions("linear_probe", train, test, draws=draws)
        for method, train, test in zip(
            ("r2mae", "untrained"), of_train, of_test, strict=False
        )
    }
    counts = tf_idf(of_train[2].features, of_test[2].features)
    return predicted | {"TF-IDF": logistic(counts, of_train[2].labels, draws)}


def weighted_words(train: list[str], test: list[str]) -> tuple[Any, Any]:
    """TF-IDF of words and pairs of words."""
    pairs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return pairs.fit_transform(train), pairs.transform(test)


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
