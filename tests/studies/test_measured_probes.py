"""Probes as measurements of a study."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from r2mae.data.arrays import ArraySource
from r2mae.schema.study import MeasureSection
from r2mae.studies.measured_probes import measure_probes
from r2mae.studies.measurement import measurement_names


def every_token(batch):
    return torch.ones(batch["values"].shape[:2], dtype=torch.bool)


class Tokens(nn.Module):
    """An encoder whose tokens are the samples' own; it counts the complete ones that it reads."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.masking = SimpleNamespace(eligible=every_token, gathers=False)
        self.num_complete = 0

    def embed_tokens(self, batch, mask=None):
        tokens = batch["values"] * self.scale
        if mask is not None:
            return tokens, ~mask.is_masked
        self.num_complete += len(tokens)
        return tokens, every_token(batch)

    def embed(self, batch, mask=None):
        del mask
        return batch["values"].mean(dim=1) * self.scale


def make_source(num):
    """Samples of 8 tokens around one of 3 centres."""
    draw = np.random.default_rng(num)
    labels = np.arange(num) % 3
    values = draw.normal(size=(num, 8, 6)).astype(np.float32)
    values[:, :, :3] += np.eye(3, dtype=np.float32)[labels][:, None]
    return ArraySource({"values": values}, labels)


def test_tokens_of_complete_samples_are_read_once(monkeypatch):
    monkeypatch.setattr("r2mae.evaluation.attentive_predictions.STEPS", 5)
    splits = {"train": make_source(60), "test": make_source(30)}
    wing = SimpleNamespace(open_split=lambda _, split: splits[split])
    loaded = SimpleNamespace(wing=wing, recipe=None, model=Tokens())
    document = {
        "ratios": (0.5,),
        "probes": ("attentive_probe",),
        "hidden": (0.0, 0.5, 0.75),
        "hide_in_training": True,
    }
    measure = MeasureSection.model_validate(document)
    measured = measure_probes(loaded, measure)
    assert set(measured) == measurement_names(measure) - {"held-out loss at 0.5"}
    assert loaded.model.num_complete == 60 + 30
