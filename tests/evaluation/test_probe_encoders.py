"""Probes of an encoder and of input features that are replaced before a probe reads them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from r2mae.data.arrays import ArraySource
from r2mae.evaluation import probe_encoders as module
from r2mae.evaluation.compared import Compared
from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders


def every_token(batch):
    return torch.ones(batch["values"].shape, dtype=torch.bool)


class Values(nn.Module):
    """An encoder whose features are the samples' own values, NaN where hidden."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.masking = SimpleNamespace(eligible=every_token, gathers=False)

    def baseline(self, batch, mask=None):
        values = batch["values"] * self.scale
        return values if mask is None else values.masked_fill(mask.is_masked, torch.nan)


def make_source(num):
    draw = np.random.default_rng(num)
    labels = np.arange(num) % 3
    values = draw.normal(size=(num, 6)).astype(np.float32)
    values[:, :3] += 3 * np.eye(3, dtype=np.float32)[labels]
    return ArraySource({"values": values}, labels)


@pytest.mark.parametrize("count", [None, 4])
def test_copies_in_training_are_replaced_as_test_samples_are(monkeypatch, count):
    train, test = make_source(60), make_source(30)

    def replaced(of_train, of_test):
        """Both are scaled, and hidden values of the second become the mean of the first."""
        means = np.broadcast_to(of_train.mean(axis=0), of_test.shape)
        return 2 * of_train, 2 * np.where(np.isnan(of_test), means, of_test)

    wing = SimpleNamespace(
        open_split=lambda _, split: {"train": train, "test": test}[split],
        baseline_features=replaced,
    )
    loaded = SimpleNamespace(wing=wing, recipe=SimpleNamespace(task="pretrain"))
    encoders = [Compared("values", Values(), "baseline")]
    monkeypatch.setattr(module, "compared_encoders", lambda *_: encoders)
    seen = []

    def probe(task, of_train, of_test, *, draws, status):
        del task, status
        seen.append((of_train, of_test, draws))
        return np.tile(of_test.labels, (len(draws or [None]), 1))

    monkeypatch.setattr(module, "probe_predictions", probe)
    plan = ProbePlan(
        ("knn",), (count,), draws=1, hidden=(0.0, 0.5), hide_in_training=True
    )
    complete, hidden = probe_encoders(loaded, None, plan)
    assert "hide_in_training" not in complete
    assert hidden["hide_in_training"]
    (of_complete, _, _), (both, of_test, draws) = seen
    num = len(of_complete.labels)
    assert num == (60 if count is None else 12)
    assert both.labels.tolist() == 2 * of_complete.labels.tolist()
    assert np.array_equal(both.features[:num], of_complete.features)
    assert of_test.features.shape == (30, 6)
    means = of_complete.features.mean(axis=0)  # of scaled values
    copies = both.features[num:]
    is_hidden = copies != of_complete.features
    assert (is_hidden.sum(axis=1) == 3).all()
    assert np.allclose(copies[is_hidden], np.tile(means, (num, 1))[is_hidden])
    if draws is not None:
        assert sorted(draws[0]) == list(range(24))
