"""LoRA and last blocks in the encoders of every wing."""

import copy

import pytest
import torch

from r2mae.errors import InputError
from r2mae.models.classifier import Classifier
from r2mae.models.tuning import add_lora, merge_lora, train_last_layers
from r2mae.recipe.assembly import build_model, open_training_data
from r2mae.recipe.load import load_recipe
from r2mae.training.optimizer import build_adamw
from tests.conftest import ROOT, make_cells

pytest.importorskip("peft")

LORA = {"rank": 2, "alpha": 6.0, "dropout": 0.0}
SMALL = ("model.width=16", "model.depth=2")
ENCODERS = {
    "vit": ("vision/digits_demo", *SMALL, "model.heads=2"),
    "modernbert": ("language/topics_demo", *SMALL, "model.heads=2"),
    "bert": ("language/topics_demo", *SMALL, "model.heads=2", "model.encoder=bert"),
    "roberta": (
        "language/topics_demo",
        *SMALL,
        "model.heads=2",
        "model.encoder=roberta",
    ),
    "esm": ("language/topics_demo", *SMALL, "model.heads=2", "model.encoder=esm"),
    "dna conv": ("dna/motifs_demo", *SMALL),
    "dna transformer": (
        "dna/motifs_demo",
        "model={encoder: modernbert, width: 16, depth: 2, heads: 2, hidden: 32}",
    ),
    "cell mlp": ("cell/pbmc68k_demo", *SMALL, "model.hidden=16"),
    "cell transformer": (
        "cell/pbmc3k_transformer",
        "data={root: cells.h5ad, label_column: kind, held_out: 0.2}",
        "model={encoder: transformer, width: 16, depth: 2, heads: 2}",
    ),
}


@pytest.fixture(scope="module", params=ENCODERS)
def opened(request, tmp_path_factory):
    """The encoder of a recipe, in eval mode, and four samples."""
    path, *settings = ENCODERS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        here = tmp_path_factory.mktemp("tuning")
        patch.chdir(here)
        patch.setenv("XDG_CACHE_HOME", str(here / "cache"))
        if "cells.h5ad" in str(settings):
            make_cells(64, 40).write_h5ad("cells.h5ad")
        recipe = load_recipe(str(ROOT / "recipes" / f"{path}.yaml"), settings)
        batch = open_training_data(recipe)[0].load(torch.arange(4), None, 0)
        yield build_model(recipe).eval(), batch


@pytest.fixture
def encoder_and_batch(opened):
    """A copy of the encoder, as tests change it, and the samples."""
    encoder, batch = opened
    return copy.deepcopy(encoder), batch


def test_merged_weights_give_the_features_of_lora(encoder_and_batch):
    encoder, batch = encoder_and_batch
    plain, before = copy.deepcopy(encoder), encoder.embed(batch)
    add_lora(encoder, **LORA)
    encoder.eval()
    trained = {
        name: parameter
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad
    }
    assert trained
    assert all(".lora_" in name for name in trained)
    assert torch.equal(encoder.embed(batch), before)  # B is zero at first
    with torch.no_grad():
        for name, parameter in trained.items():
            if ".lora_B." in name:
                parameter.normal_(std=0.1)
    features = encoder.embed(batch)
    assert (features - before).abs().max() > 1e-3
    merged = merge_lora(encoder.state_dict(), {"lora": LORA})
    assert merged.keys() == plain.state_dict().keys()
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain.embed(batch), features, rtol=1e-6, atol=1e-6)


def test_a_rank_above_the_narrowest_layer_is_refused(encoder_and_batch):
    encoder, _ = encoder_and_batch
    blocks = [part for block in encoder.blocks for part in block.modules()]
    layers = [part for part in blocks if type(part) is torch.nn.Linear]
    most = min(min(layer.weight.shape) for layer in layers)
    with pytest.raises(InputError, match=f"rank must be at most {most}, the width of"):
        add_lora(copy.deepcopy(encoder), **LORA | {"rank": most + 1})
    add_lora(encoder, **LORA | {"rank": most})


def test_every_matrix_of_lora_is_trained(encoder_and_batch):
    encoder, batch = encoder_and_batch
    add_lora(encoder, **LORA)
    classifier = Classifier(encoder, 3)
    for name, parameter in encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    classifier(batch).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        has_gradient = parameter.grad is not None
        assert has_gradient == parameter.requires_grad, name
        assert not has_gradient or parameter.grad.any(), name


def test_layer_decay_gives_a_block_of_lora_the_rate_of_the_block(encoder_and_batch):
    encoder, _ = encoder_and_batch
    plain = Classifier(copy.deepcopy(encoder), 3).layers()
    add_lora(encoder, **LORA)
    classifier = Classifier(encoder, 3)
    optimizer = build_adamw(
        classifier, weight_decay=0.1, betas=(0.9, 0.999), eps=1e-8, layer_decay=0.5
    )
    scales = {
        id(parameter): group["lr_scale"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    deepest = max(plain.values())
    for name, parameter in classifier.named_parameters():
        if ".lora_" in name:
            depth = plain[f"{name.partition('.lora_')[0]}.weight"]
            assert scales[id(parameter)] == 0.5 ** (deepest + 1 - depth)


def test_the_last_block_and_what_follows_it_are_trained(encoder_and_batch):
    encoder, _ = encoder_and_batch
    depths = encoder.layers()
    train_last_layers(encoder, 1)
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad == (depths.get(name, 0) >= 2), name
    with pytest.raises(InputError, match=r"last_layers must be at most 2, .* got 3\."):
        train_last_layers(encoder, 3)


def test_frozen_blocks_stay_in_eval_mode(encoder_and_batch):
    encoder, _ = encoder_and_batch
    train_last_layers(encoder, 1)
    Classifier(encoder, 3).train()
    first, last = encoder.blocks
    assert last.training
    assert not any(part.training for part in first.modules())


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        (
            "vision/digits_demo",
            (
                "data={card: digits, image_size: 32, channels: 1, held_out: 0.1}",
                "model={encoder: resnet18, patch_size: 16}",
            ),
        ),
        ("algebra/s4_composition", ("model.encoder=transformer",)),
    ],
)
def test_an_encoder_without_blocks_is_refused(path, settings):
    encoder = build_model(load_recipe(str(ROOT / "recipes" / f"{path}.yaml"), settings))
    with pytest.raises(InputError, match="tune.lora must be null for"):
        add_lora(encoder, **LORA)
    with pytest.raises(InputError, match="tune.last_layers must be null for"):
        train_last_layers(encoder, 1)
