import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, ViTMAEForPreTraining, ViTModel

from r2mae.errors import InputError
from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.images import open_image_paths
from r2mae.modalities.vision.interop.export_timm import export_timm
from r2mae.modalities.vision.interop.export_transformers import export_transformers
from r2mae.modalities.vision.interop.vit_mae import from_vit_mae, to_vit_mae
from r2mae.modalities.vision.interop.weights import load_initial_weights
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.image_encoder import ImageEncoder
from r2mae.modalities.vision.models.timm_encoder import create_encoder
from r2mae.modalities.vision.schema import VisionData
from tests.modalities.vision.interop.test_weights import shaken

CLOSE = 1e-6
SMALL = {"width": 32, "depth": 2, "heads": 2}
# Architecture, image size, channels, patch size.
PLAIN = {
    "class token": ("vit_tiny_patch16_224", 32, 3, 8),
    "grey, its own patch size": ("vit_small_patch32_224", 64, 1, None),
    "odd grid": ("vit_tiny_patch16_224", 40, 3, 8),
    "attention without bias": ("vit_tiny_patch16_224", 30, 3, 10),
}
BEYOND = {
    "registers": ("vit_small_patch14_reg4_dinov2", 42, 3, 14),
    "registers, no class token": ("vit_medium_patch16_reg4_gap_256", 32, 3, 8),
    "no class token": ("vit_base_patch16_siglip_gap_224", 32, 3, 8),
    "norm before, quick gelu": ("vit_base_patch32_clip_quickgelu_224", 64, 3, None),
    "layer scale": ("vit_small_patch14_dinov2", 28, 3, 7),
    "gated MLP": ("vit_giant_patch14_dinov2", 28, 3, 7),
    "no norm at the end": ("aimv2_large_patch14_224", 28, 3, 14),
    "class token without position": ("deit3_small_patch16_224", 32, 3, 8),
}


def make(
    name,
    image_size,
    channels,
    patch_size,
    *,
    decoder_depth=1,
    normalize_targets=True,
    qkv_bias=True,
):
    torch.manual_seed(0)
    encoder = create_encoder(
        name, image_size=image_size, channels=channels, patch_size=patch_size, **SMALL
    )
    if not qkv_bias:
        for block in encoder.blocks:
            block.attn.qkv.bias = None
    model = MaskedAutoencoder(
        encoder,
        decoder_depth=decoder_depth,
        decoder_width=16,
        decoder_heads=2,
        normalize_targets=normalize_targets,
        pixel_mean=(0.4, 0.5, 0.6)[:channels],
        pixel_std=(0.2, 0.25, 0.3)[:channels],
    )
    return shaken(model).eval()


def arguments(patch_size):
    own = {} if patch_size is None else {"patch_size": patch_size}
    return own | {"embed_dim": 32, "depth": 2, "num_heads": 2}


def batch_of(case, num=3):
    return {
        "images": torch.randint(
            0, 256, (num, case[2], case[1], case[1]), dtype=torch.uint8
        )
    }


def to_timm(case, folder):
    folder.mkdir()
    model = make(*case)
    difference = export_timm(
        model,
        folder,
        architecture=case[0],
        arguments=arguments(case[3]),
        image_size=case[1],
    )
    return model, difference


def to_transformers(model, case, folder, mean_ratio=0.75):
    return export_transformers(
        model, folder, architecture=case[0], image_size=case[1], mean_ratio=mean_ratio
    )


@pytest.mark.parametrize("case", (PLAIN | BEYOND).values(), ids=list(PLAIN | BEYOND))
@torch.no_grad()
def test_timm_makes_the_same_features(tmp_path, case):
    model, difference = to_timm(case, tmp_path / "out")
    assert difference < CLOSE
    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    batch = batch_of(case)
    assert (loaded(model.pixels(batch)) - model.embed(batch)).abs().max() < CLOSE
    found = timm.data.resolve_model_data_config(loaded)
    assert found["input_size"] == (case[2], case[1], case[1])
    assert found["mean"] == pytest.approx(model.pixel_mean.flatten().tolist())
    assert found["std"] == pytest.approx(model.pixel_std.flatten().tolist())
    assert (found["interpolation"], found["crop_pct"]) == ("bicubic", 1.0)


@torch.no_grad()
def test_timm_finetunes_it_with_another_head_and_size(tmp_path):
    to_timm(PLAIN["class token"], tmp_path / "out")
    other = timm.create_model(
        f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=7, img_size=48
    )
    assert other(torch.zeros(1, 3, 48, 48)).shape == (1, 7)
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(
        other.blocks[1].attn.qkv.weight, written["blocks.1.attn.qkv.weight"]
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@torch.no_grad()
def test_timm_keeps_the_pooling_of_an_encoder(tmp_path, pooling):
    encoder = create_encoder(
        "vit_tiny_patch16_224", image_size=32, channels=3, patch_size=8, **SMALL
    )
    model = ImageEncoder(
        encoder, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3, pooling=pooling
    ).eval()
    shape = {
        "architecture": "vit_tiny_patch16_224",
        "arguments": arguments(8),
        "image_size": 32,
    }
    assert export_timm(shaken(model), tmp_path, **shape) < CLOSE


OTHERS = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]},
    "swin_tiny_patch4_window7_224": {
        "embed_dim": 12,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
    },
    "mixer_s16_224": {},  # takes no shape but its image size
}


@pytest.mark.parametrize("name", OTHERS)
@torch.no_grad()
def test_timm_takes_other_backbones_of_its_own(tmp_path, name):
    torch.manual_seed(0)
    sized = {"img_size": 32} if name.startswith(("swin", "mixer")) else {}
    encoder = timm.create_model(
        name, in_chans=3, num_classes=0, **OTHERS[name], **sized
    )
    model = shaken(
        ImageEncoder(encoder, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3)
    ).eval()
    assert (
        export_timm(
            model, tmp_path, architecture=name, arguments=OTHERS[name], image_size=32
        )
        < CLOSE
    )


def test_another_function_is_refused(tmp_path):
    model = make(*PLAIN["class token"])
    with pytest.raises(
        InputError, match="must be a model that timm can load"
    ) as caught:
        export_timm(
            model,
            tmp_path,
            architecture=PLAIN["class token"][0],
            arguments={},
            image_size=32,
        )
    assert "\n" not in str(caught.value)
    heads = arguments(8) | {"num_heads": 4}
    with pytest.raises(
        InputError, match="must give the run's features, got a difference of"
    ):
        export_timm(
            model,
            tmp_path,
            architecture=PLAIN["class token"][0],
            arguments=heads,
            image_size=32,
        )


@pytest.mark.parametrize("decoder_depth", [0, 1, 2])
@pytest.mark.parametrize("normalize_targets", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_transformers_makes_the_same_features_and_predictions(
    tmp_path, name, normalize_targets, decoder_depth
):
    case = PLAIN[name]
    changes = {
        "normalize_targets": normalize_targets,
        "qkv_bias": "without" not in name,
    }
    model = make(*case, decoder_depth=decoder_depth, **changes)
    num_patches = model.grid[0] * model.grid[1]
    hidden = num_patches // 2
    ratio = (
        1 - (num_patches - hidden + 0.5) / num_patches
    )  # int() rounds the visible ones down
    assert to_transformers(model, case, tmp_path, ratio) < CLOSE
    batch, noise = batch_of(case), torch.rand(3, num_patches)
    is_masked = noise.argsort(dim=1).argsort(dim=1) >= num_patches - hidden
    with torch.no_grad():
        encoder = ViTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
        features = encoder(model.pixels(batch)).last_hidden_state[:, 1:].mean(dim=1)
        whole = ViTMAEForPreTraining.from_pretrained(tmp_path).eval()
        wanted = whole(pixel_values=model.pixels(batch), noise=noise)
        found = model(batch, build_mask(is_masked))
    assert (features - model.embed(batch)).abs().max() < CLOSE
    assert torch.equal(wanted.mask.bool(), is_masked)
    predictions = wanted.logits[is_masked].view(3, hidden, -1)
    # Rounding differs between kinds of CPUs, and adds up in the decoder.
    tolerance = 4 * CLOSE * max(1, predictions.abs().max())
    assert (found.predictions - predictions).abs().max() < tolerance
    assert float(found.loss.mean) == pytest.approx(float(wanted.loss), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("registers", "register tokens"),
        ("registers, no class token", "no class token"),
        ("no class token", "no class token"),
        ("norm before, quick gelu", "a patch embedding without bias"),
        ("layer scale", "layer scale"),
        ("gated MLP", "MLPs of type"),
        ("no norm at the end", "no class token"),
        ("class token without position", "a class token without position"),
    ],
)
def test_what_vit_mae_cannot_express_is_refused_by_name(tmp_path, name, words):
    with pytest.raises(InputError) as caught:
        to_transformers(make(*BEYOND[name]), BEYOND[name], tmp_path)
    message = str(caught.value)
    assert message.startswith(
        "--to transformers must have a model that ViTMAE can express, got "
    )
    assert f" {BEYOND[name][0]} with " in message
    assert words in message
    assert message.endswith("Use --to timm.")
    assert list(tmp_path.iterdir()) == []


def test_names_come_back():
    state = make(*PLAIN["class token"]).state_dict()
    back = from_vit_mae(to_vit_mae(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_init_from_reads_what_was_exported(tmp_path, library):
    case = PLAIN["class token"]
    if library == "timm":
        source = to_timm(case, tmp_path / "out")[0]
    else:
        to_transformers(source := make(*case), case, tmp_path / "out")
    fresh = make(*case)
    shaken(fresh, seed=5)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    load_initial_weights(fresh, str(tmp_path / "out"))
    for name, tensor in fresh.state_dict().items():
        taken = library == "transformers" or name.startswith("encoder.")
        assert torch.equal(tensor, (source.state_dict() if taken else before)[name]), (
            name
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_image_processor_reads_as_the_run_does(tmp_path, channels):
    case = ("vit_tiny_patch16_224", 32, channels, 8)
    to_transformers(model := make(*case), case, tmp_path / "out")
    rows, columns = np.mgrid[:40, :64]
    pixels = np.stack([3 * columns, 4 * rows, columns + rows], axis=2).astype(np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    image.save(tmp_path / "one.png")
    section = VisionData(
        card="image_folder", image_size=32, channels=channels, augment=None
    )
    batch = open_image_paths(section, [str(tmp_path / "one.png")]).load(
        torch.tensor([0]), None, 0
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    given = image if channels == 3 else np.asarray(image)[:, :, None]
    found = processor(given, return_tensors="pt").pixel_values
    assert found.shape == (1, channels, 32, 32)
    # Their resampling rounds to uint8 elsewhere than ours: two grey levels.
    assert ((found - model.pixels(batch)).abs() * model.pixel_std).max() < 2.5 / 255
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["model_type"]
        == "vit_mae"
    )
