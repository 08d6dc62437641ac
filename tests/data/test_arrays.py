import numpy as np
import pytest
import torch

from r2mae.data.arrays import ArraySource

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
LABELS = np.array([1, 0, -1, 1])


def test_rows_come_by_index_and_the_batch_says_which():
    source = ArraySource({"values": VALUES})
    batch = source.load(torch.tensor([2, 0]), positions=None, seed=0)
    assert batch["values"].tolist() == VALUES[[2, 0]].tolist()
    assert batch["indices"].tolist() == [2, 0]
    assert len(source) == 4
    assert source.labels is None
    assert source.name(3) == "row 3"


def test_classes_are_named_by_their_numbers_unless_names_are_given():
    assert ArraySource({"values": VALUES}, LABELS).class_names == {0: "0", 1: "1"}
    named = ArraySource({"values": VALUES}, LABELS, class_names=["no", "yes"])
    assert named.class_names == {0: "no", 1: "yes"}


def test_the_fingerprint_follows_values_and_labels():
    fingerprint = ArraySource({"values": VALUES}, LABELS).fingerprint
    assert fingerprint == ArraySource({"values": VALUES.copy()}, LABELS).fingerprint
    assert fingerprint != ArraySource({"values": VALUES + 1}, LABELS).fingerprint
    assert fingerprint != ArraySource({"values": VALUES}, LABELS[::-1]).fingerprint


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"one length, got \[3, 4\]"):
        ArraySource({"values": VALUES}, LABELS[:3])
