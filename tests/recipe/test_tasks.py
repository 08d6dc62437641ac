import pytest
import torch

from r2mae.data.source import batch_labels
from r2mae.modalities.vision.models.positions import sincos_positions
from r2mae.recipe.assembly import open_split
from r2mae.recipe.load import load_recipe
from r2mae.recipe.tasks import finetuning_parts
from r2mae.recipe.training import build_training
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

RECIPE = str(ROOT / "recipes" / "vision" / "digits_finetune.yaml")


def load(*overrides):
    return load_recipe(RECIPE, ["model.init_from=null", *overrides])


def test_labels_are_those_of_the_images(scratch):
    """From the stream through the few chosen to the head's class numbers."""
    parts = finetuning_parts(load("repeat.labels_per_class=[3]"), RunFolder("runs/x"))
    objective = parts.objective(None)
    split = open_split(load(), "train")
    batch = parts.train.load(torch.arange(30), torch.arange(30), 0)
    targets = objective.prepare(batch, 0)["targets"]
    assert (
        targets.tolist()
        == split.labels[batch["indices"]].tolist()
        == parts.train.labels.tolist()
    )
    assert batch_labels(parts.train, batch).tolist() == targets.tolist()
    held = parts.held_out.load(torch.arange(40), None, 0)
    assert not set(held["indices"].tolist()) & set(batch["indices"].tolist())


def test_every_word_of_the_recipe_reaches_what_it_names(scratch):
    tune = "tune={hidden: 24, dropout: 0.3, layer_decay: 0.5, label_smoothing: 0.2, class_weights: {'3': 4.0}}"
    training = build_training(
        load(tune, "model.drop_path=0.2", "model.pooling=cls"), RunFolder("runs/x")
    )
    engine = training.module
    backbone, head = engine.model.backbone, engine.model.head
    assert [type(part).__name__ for part in head] == [
        "Dropout",
        "Linear",
        "GELU",
        "Linear",
    ]
    assert (head[0].p, head[1].out_features, head[3].out_features) == (0.3, 24, 10)
    assert backbone.pooling == "cls"
    assert backbone.encoder.blocks[-1].drop_path1.drop_prob == pytest.approx(0.2)
    assert engine.objective.label_smoothing == 0.2
    assert engine.objective.weights.tolist() == [1, 1, 1, 4, 1, 1, 1, 1, 1, 1]
    assert backbone.encoder.pos_embed.requires_grad
    torch.testing.assert_close(
        backbone.encoder.pos_embed, sincos_positions((4, 4), 64, 1)
    )  # MAE's initial weights
    optimizer = engine.configure_optimizers()
    scales = {
        id(p): group["lr_scale"]
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert scales[id(head[3].weight)] == 1
    assert scales[id(backbone.encoder.blocks[1].mlp.fc1.weight)] == 0.5
    assert scales[id(backbone.encoder.patch_embed.proj.weight)] == 0.125
    engine.step.start({"first_position": 20 * 64}, optimizer)
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(
            engine.settings.learning_rate.at(20) * group["lr_scale"]
        )


def test_few_labels_are_never_those_held_out(scratch):
    parts = finetuning_parts(load("repeat.labels_per_class=[100]"), RunFolder("runs/x"))
    used = parts.train.load(torch.arange(1000), None, 0)["indices"]
    held = parts.held_out.load(torch.arange(len(parts.held_out)), None, 0)["indices"]
    assert len(held) == 144
    assert not set(used.tolist()) & set(held.tolist())


def test_labels_follow_the_stream(scratch):
    """Positions are not indices: what the engine asks of a sample is the label of the image that it saw."""
    engine = build_training(
        load("repeat.labels_per_class=[3]"), RunFolder("runs/x")
    ).module
    batch = engine.dataset.__getitems__(list(range(64, 128)))
    split = open_split(load(), "train")
    asked = engine.objective.prepare(batch, 1)["targets"]
    assert asked.tolist() == split.labels[batch["indices"]].tolist()
    pixels = split.load(batch["indices"], None, 0)["images"]
    assert torch.equal(batch["images"], pixels)
    assert len(set(batch["indices"].tolist())) == 30


def test_balanced_weights_are_of_the_labels_in_use(scratch):
    engine = build_training(
        load("repeat.labels_per_class=[3]", "tune.class_weights=balanced"),
        RunFolder("runs/x"),
    ).module
    assert engine.objective.weights.tolist() == pytest.approx([1.0] * 10)
