import pytest
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.interop.vit_mae import from_vit_mae
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.timm_encoder import create_encoder

# Image, patch; width, depth, heads; decoder width, depth, heads; hidden patches.
SIZES = {
    "32/8": (32, 8, 32, 3, 4, 24, 2, 2, 12),
    "48/16": (48, 16, 48, 2, 3, 16, 1, 4, 5),
    "64/8": (64, 8, 16, 4, 2, 32, 3, 4, 17),
}
BATCH = 3


def theirs(size, norm_pix_loss):
    """transformers' model in float64, every parameter random: its own start has zero biases and positions."""
    (
        image_size,
        patch_size,
        width,
        depth,
        heads,
        decoder_width,
        decoder_depth,
        decoder_heads,
        hidden,
    ) = size
    num_patches = (image_size // patch_size) ** 2
    config = ViTMAEConfig(
        image_size=image_size,
        patch_size=patch_size,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        decoder_hidden_size=decoder_width,
        decoder_num_hidden_layers=decoder_depth,
        decoder_num_attention_heads=decoder_heads,
        decoder_intermediate_size=4 * decoder_width,
        layer_norm_eps=1e-6,
        norm_pix_loss=norm_pix_loss,
        # int(N * (1 - ratio)) patches stay, rounded down: half a patch more makes it exact.
        mask_ratio=1 - (num_patches - hidden + 0.5) / num_patches,
    )
    model = ViTMAEForPreTraining(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def ours(size, normalize_targets):
    (
        image_size,
        patch_size,
        width,
        depth,
        heads,
        decoder_width,
        decoder_depth,
        decoder_heads,
        _,
    ) = size
    shape = {"patch_size": patch_size, "width": width, "depth": depth, "heads": heads}
    return MaskedAutoencoder(
        create_encoder(
            "vit_tiny_patch16_224", image_size=image_size, channels=3, **shape
        ),
        decoder_depth=decoder_depth,
        decoder_width=decoder_width,
        decoder_heads=decoder_heads,
        normalize_targets=normalize_targets,
        pixel_mean=(0.485, 0.456, 0.406),
        pixel_std=(0.229, 0.224, 0.225),
    ).double()


def distance(found, wanted):
    """Norm-wise relative."""
    return ((found - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("norm_pix_loss", [True, False])
@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_loss_and_every_gradient_agree(size, norm_pix_loss):
    torch.manual_seed(0)
    reference, model = theirs(size, norm_pix_loss), ours(size, norm_pix_loss)
    model.load_state_dict(
        from_vit_mae(reference.state_dict())
    )  # strict: every name is there, and no other
    num_patches, hidden = (size[0] // size[1]) ** 2, size[-1]
    noise = torch.rand(BATCH, num_patches)
    is_masked = noise.argsort(dim=1).argsort(dim=1) >= num_patches - hidden
    batch = {
        "images": torch.randint(0, 256, (BATCH, 3, size[0], size[0]), dtype=torch.uint8)
    }

    wanted = reference(pixel_values=model.pixels(batch), noise=noise)
    assert torch.equal(wanted.mask.bool(), is_masked)
    wanted.loss.backward()
    found = model(batch, build_mask(is_masked))
    found.loss.mean.backward()

    assert found.loss.count.item() == BATCH * hidden
    assert distance(found.loss.mean, wanted.loss) < 1e-10
    assert (
        distance(found.predictions, wanted.logits[is_masked].view(BATCH, hidden, -1))
        < 1e-10
    )
    gradients = from_vit_mae(
        {name: p.grad for name, p in reference.named_parameters() if p.requires_grad}
    )
    own = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert own.keys() == gradients.keys()
    # Keys' biases move no softmax: their gradients are zero up to rounding, so names are compared whole.
    worst = {name: distance(own[name], gradients[name]) for name in own}
    assert max(worst.values()) < 1e-10, max(worst, key=worst.get)


def renamed(state):
    """Names as transformers 4 wrote them, and every file on disk has them."""
    pairs = [
        ("vit.layers.", "vit.encoder.layer."),
        (".attention.o_proj.", ".attention.output.dense."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
        *(
            (f".attention.{name[0]}_proj.", f".attention.attention.{name}.")
            for name in ("query", "key", "value")
        ),
    ]
    for new, old in pairs:
        state = {name.replace(new, old): tensor for name, tensor in state.items()}
    return state


def test_names_of_transformers_4_mean_the_same():
    torch.manual_seed(0)
    state = theirs(SIZES["32/8"], True).state_dict()
    old = renamed(state)
    assert "decoder.decoder_layers.1.output.dense.bias" in old
    assert "vit.encoder.layer.2.attention.attention.key.weight" in old
    new, converted = from_vit_mae(state), from_vit_mae(old)
    assert new.keys() == converted.keys()
    assert all(torch.equal(new[name], converted[name]) for name in new)


def test_queries_keys_and_values_lie_in_this_order():
    torch.manual_seed(0)
    state = theirs(SIZES["48/16"], True).state_dict()
    qkv = from_vit_mae(state)["encoder.blocks.1.attn.qkv.weight"]
    for part, letter in zip(qkv.chunk(3), "qkv", strict=True):
        assert torch.equal(part, state[f"vit.layers.1.attention.{letter}_proj.weight"])
