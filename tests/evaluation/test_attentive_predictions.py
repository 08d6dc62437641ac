"""Predictions of attentive probes: what is read and kept, and from which probes they come."""

from collections import Counter

import numpy as np
import torch

from r2mae.evaluation.attentive_predictions import STEPS, attentive_predictions
from r2mae.evaluation.attentive_probe import train_probes
from r2mae.evaluation.probe_input import ProbeInput
from r2mae.evaluation.tokens import TokenSet, extract_tokens
from tests.evaluation.marked_tokens import Tokens, predict, sources


def test_tokens_are_kept_for_drawn_samples_only(monkeypatch):
    train, test = sources()
    kept = []

    def extract(*arguments, **options):
        kept.append(extract_tokens(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(
        "r2mae.evaluation.attentive_predictions.extract_tokens", extract
    )
    draws = [np.array([0, 1, 2, 30, 31, 32]), np.array([2, 3, 4, 60, 61, 62])]
    result = attentive_predictions("encoder", Tokens(), train, test, [draws])
    assert len(kept[0].tokens) == 11
    assert result.predicted[ProbeInput()][0].shape == (2, 60)
    assert np.array_equal(result.labels, test.labels)
    labels = np.array([2, 0, 1, 0, 1, 2])
    own = TokenSet([kept[0].tokens[n] for n in (2, 3, 4, 8, 9, 10)], labels)
    unseen = torch.from_numpy(test.load(torch.arange(60), None, 0)["values"].numpy())
    alone = predict(train_probes(own, None, steps=STEPS), unseen)
    # Rounding may differ in a larger group.
    assert (result.predicted[ProbeInput()][0][1] == alone[0]).mean() > 0.95


class Hiding(Tokens):
    """Counts the samples that it reads by the share of tokens hidden; hidden ones are 0."""

    def __init__(self):
        super().__init__()
        self.read = Counter()

    def embed_tokens(self, batch, hidden=None):
        tokens, is_token = super().embed_tokens(batch)
        share = 0.0 if hidden is None else hidden
        self.read[share] += len(tokens)
        places = torch.arange(tokens.shape[1]) < share * tokens.shape[1]
        return tokens * ~places[:, None], is_token


def test_samples_are_read_once_for_each_hidden_share(monkeypatch):
    def hiding(model, batch, share):
        return (share,) if share else ()

    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 20)
    for module in ("attentive_predictions", "tokens"):
        monkeypatch.setattr(f"r2mae.evaluation.{module}.hiding_masks", hiding)
    inputs = [ProbeInput(), ProbeInput(0.5), ProbeInput(0.5, copied=True)]
    train, test = sources()
    model = Hiding()
    together = attentive_predictions("encoder", model, train, test, [None], inputs)
    assert model.read == {0.0: 120 + 60, 0.5: 120 + 60}
    for seen in inputs:
        alone = attentive_predictions("encoder", model, train, test, [None], [seen])
        assert np.array_equal(alone.predicted[seen], together.predicted[seen])
