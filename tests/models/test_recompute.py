"""Activation checkpointing: the same losses and gradients from less memory."""

import copy
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from r2mae.errors import InputError
from r2mae.models.masked_module import MaskedModule
from r2mae.recipe.assembly import build_model, open_training_data
from r2mae.recipe.load import load_recipe
from r2mae.training.objective import MaskedPrediction
from tests.conftest import ROOT, make_cells

_STEP = 3


class PeakMemory(TorchDispatchMode):
    """Most bytes of tensors, made within, that were alive at once."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._storages = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and count its new storages."""
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key = storage._cdata
        if key not in self._storages:
            self._storages.add(key)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, key, storage.nbytes())

    def _free(self, key, size):
        self._storages.discard(key)
        self.live -= size


def step(recipe, model, source, samples=64):
    """(loss, gradients, bytes kept for backward, peak bytes) of a seeded training step."""
    mask = recipe.mask
    rules = model.masking
    objective = MaskedPrediction(mask.law, mask.pattern, 0, 100, rules)
    rows = torch.arange(samples) % len(source)
    batch = source.load(rows, rows, 0)
    batch |= {"indices": rows, "positions": rows}
    prepared = objective.prepare(batch, _STEP)
    torch.manual_seed(5)
    memory = PeakMemory()
    with memory:
        loss = objective.loss(model, prepared).total
        kept = memory.live
        loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return loss.detach(), gradients, kept, memory.peak


RECIPES = {
    "vit": ("vision/digits_demo", "model.depth=8", "model.decoder_depth=4"),
    "vit, a ratio for each image": (
        "vision/digits_demo",
        "model.depth=8",
        "mask.scope=sample",
        "model.arguments={attn_drop_rate: 0.1, drop_path_rate: 0.1}",
    ),
    "convnext": (
        "vision/digits_demo",
        "data={card: digits, image_size: 32, channels: 1, held_out: 0.1}",
        "model={encoder: convnext_atto, patch_size: 16}",
    ),
    "modernbert": ("language/topics_demo", "model.depth=8", "model.dropout=0.1"),
    "bert": ("language/topics_demo", "model.depth=8", "model.encoder=bert"),
    "esm": (
        "language/topics_demo",
        "model={encoder: esm, depth: 8, width: 64, heads: 4, hidden: 128, dropout: 0.1, "
        "config: {position_embedding_type: rotary, token_dropout: true}}",
    ),
    "dna conv": ("dna/motifs_demo", "model.depth=12"),
    "cell mlp": ("cell/pbmc68k_demo", "model.depth=128", "model.hidden=32"),
    "cell transformer": (
        "cell/pbmc3k_transformer",
        "data={root: cells.h5ad, label_column: kind, held_out: 0.2}",
        "model={encoder: transformer, width: 64, depth: 8, heads: 2, dropout: 0.1}",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_is_the_same_in_less_memory(name, scratch):
    path, *settings = RECIPES[name]
    if "cells.h5ad" in str(settings):
        make_cells(64, 40).write_h5ad("cells.h5ad")
    recipe = load_recipe(str(ROOT / "recipes" / f"{path}.yaml"), settings)
    source = open_training_data(recipe)[0]
    model = build_model(recipe).train()
    recomputing = copy.deepcopy(model)
    recomputing.recompute_blocks()
    loss, gradients, kept, peak = step(recipe, model, source)
    again, same_gradients, less_kept, lower_peak = step(recipe, recomputing, source)
    assert again == loss
    assert gradients.keys() == same_gradients.keys()
    for key, gradient in gradients.items():
        assert torch.equal(same_gradients[key], gradient), key
    assert less_kept < 0.6 * kept, (less_kept, kept)
    assert lower_peak < 0.9 * peak, (lower_peak, peak)
    assert recomputing.state_dict().keys() == model.state_dict().keys()


def test_batch_norm_is_refused():
    settings = [
        "data={card: digits, image_size: 32, channels: 1, held_out: 0.1}",
        "model={encoder: resnet18, patch_size: 16}",
        "hardware.recompute=blocks",
    ]
    recipe = load_recipe(str(ROOT / "recipes/vision/digits_demo.yaml"), settings)
    with pytest.raises(InputError, match="hardware.recompute must be null for ResNet"):
        build_model(recipe).recompute_blocks()


def test_a_model_without_blocks_is_refused():
    class Plain(MaskedModule):
        """Has no blocks."""

    with pytest.raises(InputError, match="must have repeated blocks .* got none"):
        Plain.recompute_blocks(object.__new__(Plain))
