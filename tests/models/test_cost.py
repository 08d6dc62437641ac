import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.timm_encoder import create_encoder

# Image, patch, channels; width, depth, heads; decoder's; last a gated MLP and registers.
SHAPES = {
    "large patches": ("vit_tiny_patch16_224", (64, 8, 3), (96, 3, 3), (2, 64, 4)),
    "single pixels": ("vit_tiny_patch16_224", (8, 1, 1), (32, 2, 4), (3, 48, 2)),
    "no decoder blocks": ("vit_tiny_patch16_224", (32, 4, 3), (64, 2, 2), (0, 32, 2)),
    "gated MLP, registers": (
        "vit_giant_patch14_reg4_dinov2",
        (64, 8, 3),
        (48, 2, 2),
        (1, 32, 4),
    ),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
every_ratio = pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, 0.9])
BATCH = 3


def setting(shape, ratio):
    """(model, batch, mask, visible patches of a sample)."""
    name, (image_size, patch_size, channels), (width, depth, heads), decoder = shape
    torch.manual_seed(0)
    encoder = create_encoder(
        name,
        image_size=image_size,
        channels=channels,
        patch_size=patch_size,
        width=width,
        depth=depth,
        heads=heads,
    )
    names = ("decoder_depth", "decoder_width", "decoder_heads")
    statistics = {"pixel_mean": (0.5,) * channels, "pixel_std": (0.5,) * channels}
    model = MaskedAutoencoder(
        encoder,
        **dict(zip(names, decoder, strict=True)),
        normalize_targets=patch_size > 1,
        **statistics,
    )
    batch = {
        "images": torch.randint(
            0, 256, (BATCH, channels, image_size, image_size), dtype=torch.uint8
        )
    }
    num_patches = model.grid[0] * model.grid[1]
    hidden = round(num_patches * ratio)
    mask = build_mask(
        torch.stack([torch.randperm(num_patches) < hidden for _ in range(BATCH)])
    )
    return model, batch, mask, num_patches - hidden


@every_ratio
@every_shape
def test_operations_are_those_that_run(shape, ratio):
    model, batch, mask, visible = setting(shape, ratio)
    with FlopCounterMode(display=False) as counter:
        model(batch, mask).loss.total.backward()
    assert BATCH * model.training_flops(visible) == pytest.approx(
        counter.get_total_flops(), rel=1e-3
    )


def saved_bytes(model, batch, mask):
    """Bytes that autograd keeps between forward and backward, beside the parameters."""
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = (
                storage  # held, so that its address is not given out again
            )
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(batch, mask).loss.total
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


@every_ratio
@every_shape
def test_activations_are_those_that_are_kept(shape, ratio):
    model, batch, mask, visible = setting(shape, ratio)
    memory = model.saved_values(visible)
    # An estimate that leaves out indices everywhere, and in the giant its layer scale and the gate's own product.
    slack = 0.2 if "giant" in shape[0] else 0.02
    assert 4 * BATCH * sum(memory) == pytest.approx(
        saved_bytes(model, batch, mask), rel=slack
    )


@pytest.mark.parametrize("visible", [10, 40])
def test_cost_rises_with_what_is_visible(visible):
    model, *_ = setting(SHAPES["large patches"], 0.5)
    fewer, more = model.saved_values(visible), model.saved_values(visible + 1)
    assert model.training_flops(visible) < model.training_flops(visible + 1)
    assert sum(fewer) < sum(more)
