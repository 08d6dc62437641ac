import os

import numpy as np
import pytest
import torch
from PIL import Image

from r2mae.data.source import Part, batch_labels
from r2mae.errors import InputError
from r2mae.evaluation import memory
from r2mae.evaluation.features import (
    check_classes,
    extract,
    extract_each,
    extract_labelled,
)
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.schema import VisionData
from r2mae.recipe.assembly import build_model, open_split
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO


@pytest.fixture(scope="module")
def parts():
    recipe = load_recipe(str(DEMO))
    return build_model(recipe), open_split(recipe, "test")


def test_rows_follow_the_data_whatever_the_batch(parts):
    model, source = parts
    small, large = (
        extract(model, source, batch_size=7),
        extract(model, source, batch_size=256),
    )
    assert small.shape == (360, 64)
    np.testing.assert_allclose(small, large, atol=1e-5)
    batch = source.load(torch.tensor([17]), None, 0)
    np.testing.assert_allclose(small[17], model.embed(batch)[0].detach(), atol=1e-5)


def test_baseline_is_the_input(parts):
    model, source = parts
    features = extract(model, source, kind="baseline", rows=np.arange(5))
    pixels = source.load(torch.arange(5), None, 0)["images"].flatten(1).numpy() / 255
    np.testing.assert_allclose(features, (pixels - 0.287) / 0.353, atol=1e-5)


def test_memory_of_features_is_announced_or_refused(parts, monkeypatch, capsys):
    model, source = parts
    extract(model, source)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(memory, "_LARGE", 92_000)
    extract(model, source)  # 360 x 64 x 4 bytes
    told = "features of 360 samples need about 92.2kB of memory\n"
    assert capsys.readouterr().err == told
    pages = {"SC_PHYS_PAGES": 45, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    extract(model, source)
    with pytest.raises(InputError) as caught:
        extract_each([(model, "embed"), (model, "baseline"), (model, "embed")], source)
    assert str(caught.value) == (
        "features of 360 samples must fit into memory, 184kB, got 276kB. "
        "Use fewer samples."
    )


def test_progress_reaches_the_end_and_training_mode_comes_back(parts):
    model, source = parts
    seen = []
    model.train()
    extract(
        model,
        source,
        batch_size=100,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(100, 360), (200, 360), (300, 360), (360, 360)]
    assert model.training


def test_labels_are_needed(parts):
    model, source = parts
    assert len(extract_labelled(model, source, np.arange(9)).labels) == 9

    class Unlabelled:
        labels = None
        labels_absent = "a heap of numbers. Name them."

    with pytest.raises(
        InputError,
        match=r"^data must have labels for this task, got a heap of numbers\. Name them\.$",
    ):
        extract_labelled(model, Unlabelled())


def test_a_neighbour_that_stands_in_brings_its_own_label(parts, tmp_path):
    for name, value in (("cat/0", 10), ("cat/1", 20), ("dog/2", 200)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), value).save(tmp_path / f"{name}.png")
    (tmp_path / "cat/1.png").write_bytes(b"damaged")
    source = open_image_paths(
        VisionData(card="image_folder", image_size=8, channels=1, on_bad_sample="skip"),
        [str(tmp_path)],
    )
    cat, also_cat, dog = source.labels.tolist()
    assert cat == also_cat != dog
    for rows, labels in (
        (None, [cat, dog, dog]),
        (np.array([2, 1]), [dog, dog]),
        (np.array([0]), [cat]),
    ):
        found = extract_labelled(parts[0], source, rows, kind="baseline")
        assert found.labels.tolist() == labels
        assert (found.features.mean(axis=1) > 0).tolist() == [
            label == dog for label in labels
        ]
    train, held_out = Part(source, 3, held_out=False), Part(source, 2, held_out=True)
    batch = train.load(torch.arange(3), None, 0)
    bright = batch["images"].flatten(1).float().mean(1) > 100
    assert (batch_labels(train, batch) == dog).tolist() == bright.tolist()
    assert batch_labels(held_out, held_out.load(torch.arange(1), None, 0)).shape == (1,)


class Labelled:
    def __init__(self, *labels):
        self.labels = np.array(labels)
        self.class_names = {number: f"class {number}" for number in range(5)}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((1, 2, 1), (2, 2), None),
        ((1, 1), (1,), r"at least 2 classes for this task, got only class 1\. Use"),
        (
            (0, 1),
            (1, 2),
            r"classes that the training split has, got 1 more: class 2\. Add",
        ),
        ((0, 1), range(12), r"got 10 more: 10, 11, 5, 6, 7, \.\.\.\. Add"),
        ((0, 1), (), r"the test split must hold samples with a label .*, got none\. A"),
        ((), (0, 1), r"the training split must hold samples with a label .* got none"),
    ],
)
def test_the_test_split_asks_for_known_classes_only(train, test, message):
    if message is None:
        check_classes(Labelled(*train), Labelled(*test))
        return
    with pytest.raises(InputError, match=message):
        check_classes(Labelled(*train), Labelled(*test))
