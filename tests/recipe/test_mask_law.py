"""Scope and loss weight of the mask law, in every kind of model."""

from unittest.mock import patch

import pytest
import torch

from r2mae.data.stream import MicroBatches
from r2mae.modalities import find_wing
from r2mae.models.frozen_mask import frozen_mask
from r2mae.recipe.load import load_recipe
from r2mae.recipe.training import build_engine
from r2mae.training.module import PreparedStream
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT

SMALL_TRANSFORMER = ("model.width=16", "model.depth=1", "model.heads=2")
MODELS = {
    "vit": ("vision/digits_demo", ["model.width=16", "model.heads=2"]),
    "convolutional": (
        "vision/cifar10_convnext",
        [
            "model.arguments={depths: [1, 1, 1, 1], dims: [8, 8, 8, 8], patch_size: 4, output_stride: 8}"
        ],
    ),
    "cell mlp": ("cell/pbmc68k_demo", ["model.hidden=16"]),
    "cell transformer": ("cell/pbmc3k_transformer", [*SMALL_TRANSFORMER]),
    "text transformer": (
        "language/topics_demo",
        [*SMALL_TRANSFORMER, "model.hidden=16"],
    ),
    "dna convolution": ("dna/motifs_demo", ["model.width=16", "model.depth=1"]),
    "dna transformer": (
        "dna/human_transformer",
        [*SMALL_TRANSFORMER, "model.hidden=16", "data.length=128"],
    ),
}
# Whose samples have equally many tokens that may be masked.
OF_EQUAL_LENGTH = ["vit", "convolutional", "cell mlp", "dna convolution"]


def change_hidden(model, batch, mask):
    """The batch with other values where the mask hides them."""
    if "images" in batch:
        patches = model.patchify(batch["images"].float())
        other = patches.flip(0, 1, 2)
        changed = torch.where(mask.is_masked[:, :, None], other, patches)
        return batch | {"images": model.unpatchify(changed).to(torch.uint8)}
    key = next(key for key in ("input_ids", "bases", "values") if key in batch)
    values = batch[key]
    return batch | {key: torch.where(mask.is_masked, values.roll(1, 0), values)}


def micro_batches(name, folder, law, *, ranks=1):
    """(model, micro-batches of every rank in one step of 32 samples, 8 in each)."""
    path, changes = MODELS[name]
    recipe = load_recipe(str(ROOT / f"recipes/{path}.yaml"), changes)
    with patch.dict("os.environ", XDG_CACHE_HOME=str(folder)):
        (folder / "stand_in").mkdir()
        files = find_wing(recipe.modality).stand_in(recipe, folder / "stand_in")
        changes = [
            *changes,
            *files,
            *law,
            "mask.ratio={uniform: {low: 0.1, high: 0.9}}",
            "batch={global_samples: 32, per_device_samples: 8}",
            "schedule={steps: 20}",
            "hardware={accelerator: cpu}",
        ]
        recipe = load_recipe(str(ROOT / f"recipes/{path}.yaml"), changes)
        engine, _, _ = build_engine(recipe, RunFolder("runs/none"), None)
        stream = PreparedStream(engine.dataset, engine.objective, 32)
        batches = []
        for rank in range(ranks):
            order = iter(MicroBatches(32, 8, 20, rank=rank, world_size=ranks))
            step = [next(order) for _ in range(4 // ranks)]
            batches += [stream.__getitems__(positions) for positions in step]
    return engine, batches


@pytest.mark.parametrize("name", OF_EQUAL_LENGTH)
def test_stratified_micro_batches_of_all_ranks_show_equally_many_tokens(name, tmp_path):
    _, batches = micro_batches(name, tmp_path, ["mask.scope=stratified"], ranks=2)
    assert len(batches) == 4
    assert len({batch["num_visible"] for batch in batches}) == 1
    assert (
        len({batch["mask"].is_masked.sum(dim=1).unique().numel() for batch in batches})
        == 1
    )
    ratios = batches[0]["mask"].is_masked.float().mean(dim=1)
    assert ratios.unique().numel() > 4  # not one ratio for all


@pytest.mark.parametrize("name", MODELS)
def test_embed_sees_visible_positions_alone(name, tmp_path):
    engine, batches = micro_batches(name, tmp_path, ["mask.scope=stratified"])
    model, batch = engine.model.eval(), batches[0]
    mask = frozen_mask(model, batch, 0.5)
    with torch.no_grad():
        features = model.embed(batch, mask)
        of_changed = model.embed(change_hidden(model, batch, mask), mask)
        complete = model.embed(batch)
    assert features.shape == complete.shape == (8, model.width)
    torch.testing.assert_close(features, of_changed)
    assert (features - complete).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_sample_weights_scale_the_loss_of_each_sample(name, tmp_path):
    engine, batches = micro_batches(name, tmp_path, ["mask.scope=stratified"])
    model, batch = engine.model.eval(), batches[0]
    weights_of_model = [weight for weight in model.parameters() if weight.requires_grad]

    def loss(weight):
        mask = batch["mask"]
        mask = mask if weight is None else mask.with_sample_weight(weight)
        result = model(batch, mask).loss
        gradient = torch.autograd.grad(
            result.total, weights_of_model, allow_unused=True
        )
        flat = [part.flatten() for part in gradient if part is not None]
        return torch.cat([result.total.detach()[None], result.count[None], *flat])

    each = torch.stack([loss(weight) for weight in torch.eye(8)])
    weights = torch.arange(8) / 4
    torch.testing.assert_close(loss(None), each.sum(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss(weights), weights @ each, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vit", "text transformer"])
def test_loss_weights_are_what_their_names_say(name, tmp_path):
    folders = {
        weight: tmp_path / weight
        for weight in ("token", "sum", "inverse_ratio", "sample")
    }
    results = {}
    for weight, folder in folders.items():
        folder.mkdir()
        torch.manual_seed(0)
        engine, batches = micro_batches(
            name, folder, ["mask.scope=stratified", f"mask.weight={weight}"]
        )
        engine.model.eval()
        with torch.no_grad():
            losses = [engine.objective.loss(engine.model, batch) for batch in batches]
        total = sum(float(loss.total) for loss in losses)
        count = sum(float(loss.count) for loss in losses)
        results[weight] = (total, count, batches)
    total, num_masked, batches = results["token"]
    masked = torch.cat([batch["mask"].is_masked.sum(dim=1) for batch in batches])
    assert num_masked == int(masked.sum())
    assert results["sample"][1] == pytest.approx(int((masked > 0).sum()))
    # The law's mean is 0.5, of all tokens that may be masked.
    num_eligible = results["inverse_ratio"][1]
    assert num_eligible == pytest.approx(results["sum"][1] / 0.5, rel=0.02)
    assert num_eligible == pytest.approx(num_masked / 0.5, rel=0.1)
    assert results["sum"][0] == pytest.approx(total, rel=1e-5)
