import pytest
import timm
import torch

from r2mae.errors import InputError
from r2mae.models.timm_encoder import create_encoder

NARROW = {"width": 16, "depth": 1, "heads": 2}
PLAIN = "model.encoder must be a plain VisionTransformer with a plain patch embedding, got "
REMEDY = ". Choose one such as vit_tiny_patch16_224, vit_base_patch16_224 or vit_large_patch16_224."
HYBRID = "embeds patches by HybridEmbed, which mixes patches"
ANOTHER = {
    "resnet50": "is a ResNet",
    "vit_base_r50_s16_224": HYBRID,
    "vit_tiny_r_s16_p8_224": HYBRID,
    "vit_base_mci_224": HYBRID,
    "swin_tiny_patch4_window7_224": "is a SwinTransformer",
    "vit_relpos_small_patch16_224": "is a VisionTransformerRelPos",
    "vit_small_patch16_dinov3": "is a Eva",
    "vit_base_patch16_sapiens2": "is a Eva",
    "samvit_base_patch16": "is a VisionTransformerSAM",
    "naflexvit_base_patch16_gap": "is a NaFlexVit",
    "deit_tiny_distilled_patch16_224": "is a VisionTransformerDistilled",
    "vit_small_patch16_18x2_224": "is made of ParallelThingsBlock, not of attention and MLP in turn",
    "vit_pwee_patch16_reg1_gap_256": "is made of ParallelScalingBlock, not of attention and MLP in turn",
}


@pytest.mark.parametrize("shape", [{}, {"patch_size": 8, **NARROW}], ids=["its own shape", "reshaped"])
@pytest.mark.parametrize("name", ANOTHER)
def test_other_architectures_are_refused_by_name(name, shape):
    with torch.device("meta"), pytest.raises(InputError) as caught:
        create_encoder(name, image_size=448, channels=3, **shape)
    assert str(caught.value) == f"{PLAIN}{name!r}, which {ANOTHER[name]}{REMEDY}"


@pytest.mark.parametrize("pattern", ["vit_*", "deit*"])
def test_a_third_of_the_family_is_taken_or_refused_in_one_line(pattern):
    taken, refused = 0, {}
    for name in timm.list_models(pattern)[::3]:
        try:
            with torch.device("meta"):
                encoder = create_encoder(name, image_size=32, channels=1, patch_size=8, width=96, depth=1, heads=3)
        except InputError as error:
            refused[name] = str(error)
            continue
        taken += 1
        assert (encoder.embed_dim, len(encoder.blocks), encoder.patch_embed.grid_size) == (96, 1, (4, 4)), name
        assert encoder.head.__class__.__name__ == "Identity", name
        assert hasattr(encoder.blocks[0].mlp.fc1, "out_features"), name
    assert taken >= {"vit_*": 40, "deit*": 4}[pattern]
    for name, message in refused.items():
        assert message.startswith(PLAIN + repr(name))
        assert "\n" not in message


def shaped(**changes):
    return {"name": "vit_tiny_patch16_224", "image_size": 32, "channels": 3, "patch_size": 8, **NARROW} | changes


WIDTH = "model.width must be divisible by 4 and by the number of heads "
DIVISIBLE = "data.image_size must be divisible by the patch size "
BAD = [
    (
        shaped(name="vit_tiny_patch16_244"),
        "model.encoder must be a timm model, got 'vit_tiny_patch16_244'. Did you mean vit_tiny_patch16_224",
    ),
    (shaped(name="vit_bse_patch16_224"), "Did you mean vit_base_patch16_224"),
    (shaped(name="zzz"), "model.encoder must be a timm model, got 'zzz'."),
    (shaped(name=""), "model.encoder must be a timm model, got ''."),
    (
        shaped(image_size=33),
        DIVISIBLE + "8 of vit_tiny_patch16_224, got 33. Use 32, or another model.patch_size.",
    ),
    (shaped(image_size=3), DIVISIBLE + "8 of vit_tiny_patch16_224, got 3. Use 16, or another model.patch_size."),
    (shaped(image_size=40, patch_size=None), DIVISIBLE + "16 of vit_tiny_patch16_224, got 40. Use 32"),
    (shaped(image_size=8), "data.image_size must hold at least 2 x 2 patches of 8 pixels, got 8."),
    (shaped(image_size=16, patch_size=None), "data.image_size must hold at least 2 x 2 patches of 16 pixels, got 16."),
    (shaped(width=20, heads=3), WIDTH + "3, got 20."),
    (shaped(width=18), WIDTH + "2, got 18."),
    (shaped(width=20, heads=None), "model must be a shape that timm can build, got 'vit_tiny_patch16_224': dim should"),
    (shaped(width=None, heads=5), "model must be a shape that timm can build, got 'vit_tiny_patch16_224': dim should"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message[-40:] for _, message in BAD])
def test_bad_shapes_are_one_line(arguments, message):
    with pytest.raises(InputError) as caught:
        create_encoder(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith("..")


@pytest.mark.parametrize(
    ("image_size", "patch_size", "channels"),
    [
        (2, 1, 1),
        (8, 1, 1),
        (8, 4, 3),
        (28, 7, 1),
        (64, 32, 3),
        (96, 6, 3),
        (224, 14, 3),
        (1024, 64, 3),
        (2048, 1024, 1),
    ],
)
def test_sizes_from_tiny_to_large(image_size, patch_size, channels):
    encoder = create_encoder(**shaped(image_size=image_size, patch_size=patch_size, channels=channels))
    side = image_size // patch_size
    assert encoder.patch_embed.grid_size == (side, side)
    with torch.no_grad():
        tokens = encoder.forward_features(torch.randn(1, channels, image_size, image_size))
    assert tokens.shape == (1, 1 + side * side, 16)
    assert tokens.isfinite().all()


def test_none_keeps_the_named_architecture():
    encoder = create_encoder("vit_tiny_patch16_224", image_size=64, channels=3)
    assert (encoder.embed_dim, len(encoder.blocks), encoder.blocks[0].attn.num_heads) == (192, 12, 3)
    assert encoder.patch_embed.patch_size == (16, 16)
    assert not list(encoder.head.parameters())
