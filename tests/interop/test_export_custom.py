"""Heads of fine-tuned runs in transformers: what the configuration says, and the check of logits."""

import pytest
import torch

from r2mae.errors import InputError
from r2mae.interop.export_custom import head_options, write_classifier
from r2mae.modalities.dna.modeling_dna_conv import (
    DnaConvConfig,
    DnaConvForSequenceClassification,
)
from tests.interop.encoders import load_tuned

SHAPE = {"width": 16, "depth": 2, "kernel": 3, "dilations": [1, 2]}
BASES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [3, 3, 1, 0, 2, 1, 0]])


def test_options_name_classes_problem_and_shape(tmp_path):
    more = ("tune.hidden=6", "tune.dropout=0.25")
    loaded = load_tuned("DNA convolutions", tmp_path, "multi_label", more)
    options = head_options(loaded)
    assert options["id2label"] == {0: "a", 1: "b", 2: "c"}
    assert options["label2id"] == {"a": 0, "b": 1, "c": 2}
    assert options["problem_type"] == "multi_label_classification"
    assert (options["head_hidden"], options["head_dropout"]) == (6, 0.25)


def write(loaded, folder, units, inputs=BASES):
    loaded.manifest.pop("target", None)
    loaded.manifest.update({} if units is None else {"target": units})
    folder.mkdir()
    config = DnaConvConfig(**SHAPE, **head_options(loaded))
    theirs = DnaConvForSequenceClassification(config)
    return theirs, write_classifier(loaded, theirs, folder, {"bases": BASES}, (inputs,))


def test_the_last_layer_predicts_in_the_units_of_the_targets(tmp_path):
    loaded = load_tuned("DNA convolutions", tmp_path, "regression")
    plain, _ = write(loaded, tmp_path / "plain", None)
    scaled, _ = write(loaded, tmp_path / "scaled", {"mean": -4.0, "spread": 3.0})
    with torch.no_grad():
        expected = plain.eval()(BASES).logits * 3 - 4
        torch.testing.assert_close(scaled.eval()(BASES).logits, expected)
    # The run itself is as before.
    torch.testing.assert_close(
        loaded.model.head[-1].weight, plain.head[-1].weight, rtol=0, atol=0
    )


def test_other_logits_than_the_runs_are_refused(tmp_path):
    loaded = load_tuned("DNA convolutions", tmp_path, "classes")
    with pytest.raises(InputError, match="must give the run's outputs"):
        write(loaded, tmp_path / "out", None, inputs=BASES.flip(0))
