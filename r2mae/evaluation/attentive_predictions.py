"""Test predictions of attentive probes on one encoder, by labels and hidden share.

R: draws of labels  M: test samples
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from r2mae.data.source import Batch, SampleSource, batch_labels
from r2mae.evaluation.attentive_probe import AttentiveProbes, train_probes
from r2mae.evaluation.features import for_each_batch, hiding_masks, needed_rows
from r2mae.evaluation.hidden_copies import places_of
from r2mae.evaluation.probe_input import ProbeInput
from r2mae.evaluation.tokens import TokenSet, extract_tokens
from r2mae.progress import progress_bar, status_line

Integers = npt.NDArray[np.int64]
Probes = list[list[AttentiveProbes]]  # groups of probes for each choice of labels
STEPS = 300  # of training a probe


class AttentivePredictions(NamedTuple):
    """predicted: what probes see -> (R, M) classes for each choice of labels.

    labels: (M,) of the test samples.
    """

    predicted: dict[ProbeInput, list[Integers]]
    labels: Integers


def attentive_predictions(
    name: str,
    model: Any,
    train: SampleSource,
    test: SampleSource,
    choices: Sequence[list[Integers] | None],
    inputs: Sequence[ProbeInput] = (ProbeInput(),),
) -> AttentivePredictions:
    """Train probes, and predict test samples with a part hidden.

    name: of the encoder, shown with the progress.
    choices: draws of rows of train, or None for all rows, as `probe_predictions` has them.
    inputs: what they see; complete training samples are read once for all, and test samples
        once for each hidden share.

    Raises: InputError where the training tokens do not fit into memory.
    """
    rows = needed_rows(len(train), choices)
    title = f"tokens of {name}, train"
    sets = 2 if any(seen.copied for seen in inputs) else 1
    complete = extract_tokens(model, train, rows, progress_bar(title), sets=sets)
    of_complete: Probes | None = None
    trained: dict[float, dict[ProbeInput, Probes]] = {}
    for seen in inputs:
        places = [places_of(draws, rows, seen.copied) for draws in choices]
        if seen.copied:
            copies = extract_tokens(
                model, train, rows, progress_bar(title), seen.hidden
            )
            probes = _train(name, model, complete.joined(copies), places)
            del copies  # before those of the next share
        else:
            probes = of_complete = of_complete or _train(name, model, complete, places)
        trained.setdefault(seen.hidden, {})[seen] = probes
    predicted: dict[ProbeInput, list[Integers]] = {}
    for share, by_input in trained.items():
        probes = list(itertools.chain.from_iterable(by_input.values()))
        classes, labels = _predict(name, model, probes, test, share)
        for number, seen in enumerate(by_input):
            first = number * len(choices)
            predicted[seen] = classes[first : first + len(choices)]
    return AttentivePredictions(predicted, labels)


def _train(
    name: str, model: Any, tokens: TokenSet, choices: Sequence[list[Integers] | None]
) -> Probes:
    """Probes for each choice of places in the tokens."""
    device = next(model.parameters()).device
    trained = []
    for places in choices:
        with status_line(f"{name}, attentive_probe") as status:
            probes = train_probes(
                tokens, places, steps=STEPS, device=device, status=status
            )
            trained.append(probes)
    return trained


def _predict(
    name: str,
    model: Any,
    trained: Probes,
    test: SampleSource,
    hidden: float,
) -> tuple[list[Integers], Integers]:
    """((R, M) classes for each entry of trained, (M,) labels); tokens are not kept."""
    parts: list[list[Integers]] = [[] for _ in trained]
    labels: list[Integers] = []

    def predict(batch: Batch) -> None:
        tokens = model.embed_tokens(batch, *hiding_masks(model, batch, hidden))
        for part, groups in zip(parts, trained, strict=True):
            part.append(np.concatenate([probes.predict(*tokens) for probes in groups]))
        labels.append(batch_labels(test, batch))

    progress = progress_bar(f"tokens of {name}, test")
    for_each_batch([model], test, predict, progress=progress)
    classes = [np.concatenate(part, axis=1) for part in parts]
    return classes, np.concatenate(labels)
