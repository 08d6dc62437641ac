import pytest
import timm
import torch

from r2mae.errors import InputError
from r2mae.modalities.vision.models.timm_encoder import create_encoder, is_plain_vit

NARROW = {"width": 16, "depth": 1, "heads": 2}
ANOTHER = {
    "resnet50": "ResNet",
    "vit_base_r50_s16_224": "VisionTransformer",
    "vit_base_mci_224": "VisionTransformer",
    "swin_tiny_patch4_window7_224": "SwinTransformer",
    "vit_relpos_small_patch16_224": "VisionTransformerRelPos",
    "vit_small_patch16_dinov3": "Eva",
    "samvit_base_patch16": "VisionTransformerSAM",
    "naflexvit_base_patch16_gap": "NaFlexVit",
    "deit_tiny_distilled_patch16_224": "VisionTransformerDistilled",
    "vit_small_patch16_18x2_224": "VisionTransformer",
    "vit_pwee_patch16_reg1_gap_256": "VisionTransformer",
}


@pytest.mark.parametrize("name", ANOTHER)
def test_other_architectures_are_told_from_plain_vits(name):
    with torch.device("meta"):
        encoder = create_encoder(name, image_size=448, channels=1, patch_size=8)
    assert not is_plain_vit(encoder)
    assert type(encoder).__name__ == ANOTHER[name]


@pytest.mark.parametrize("key", ["width", "depth", "heads"])
def test_what_shapes_a_vit_shapes_no_other(key):
    with pytest.raises(InputError) as caught:
        create_encoder("resnet50", image_size=64, channels=3, **{key: NARROW[key]})
    assert str(caught.value) == (
        f"model.{key} must not be set for resnet50, which is not a plain VisionTransformer, got {NARROW[key]}. "
        "Use model.arguments, with the parameter's name in timm's ResNet."
    )


def test_arguments_shape_any_model():
    vit = create_encoder(
        "vit_tiny_patch16_224",
        image_size=32,
        channels=3,
        patch_size=8,
        arguments={"reg_tokens": 4},
    )
    assert is_plain_vit(vit)
    assert vit.num_prefix_tokens == 5
    conv = create_encoder(
        "convnext_atto", image_size=32, channels=1, arguments={"dims": [8, 8, 8, 24]}
    )
    assert (conv.num_features, conv.stem[0].in_channels) == (24, 1)
    # timm's entry point fixes a Mixer's shape, and what is not said stays as the name has it.
    mixer = create_encoder(
        "mixer_b16_224",
        image_size=32,
        channels=3,
        arguments={"num_blocks": 2, "patch_size": 8},
    )
    assert (len(mixer.blocks), mixer.embed_dim, mixer.stem.num_patches) == (2, 768, 16)
    gated = create_encoder(
        "gmlp_s16_224", image_size=32, channels=3, arguments={"embed_dim": 16}
    )
    assert type(gated.blocks[0]) is type(timm.create_model("gmlp_s16_224").blocks[0])
    assert len(timm.create_model("mixer_b16_224").blocks) == 12


HOLD = "model.arguments must not set what another key or the engine sets, got "


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "convnext_atto",
            {"dephts": [1]},
            "model.arguments must be arguments of timm's ConvNeXt, got 'dephts'. Did you mean depths?",
        ),
        (
            "resnet18",
            {"dims": 3},
            "model.arguments must be arguments of timm's ResNet, got 'dims'.",
        ),
        (
            "vit_tiny_patch16_224",
            {"reg_token": 4},
            "VisionTransformer, got 'reg_token'. Did you mean reg_tokens",
        ),
        (
            "mixer_s16_224",
            {"blocks": 1},
            "model.arguments must be arguments of timm's MlpMixer, got 'blocks'.",
        ),
        (
            "convnext_atto",
            {"depths": [1]},
            "model must be a shape that timm can build, got 'convnext_atto' with",
        ),
        (
            "resnet18",
            {"layers": "many"},
            "model must be a shape that timm can build, got 'resnet18' with",
        ),
        ("resnet18", {"in_chans": 3}, HOLD + "'in_chans'. Use data.channels."),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 3},
            HOLD + "'img_size'. Use data.image_size.",
        ),
        (
            "resnet18",
            {"checkpoint_path": "x.pth"},
            HOLD + "'checkpoint_path'. Use model.init_from.",
        ),
        ("resnet18", {"num_classes": 3}, HOLD + "'num_classes'. Leave it out."),
        (
            "vit_tiny_patch16_224",
            {"embed_dim": 16},
            HOLD + "'embed_dim'. Use model.width.",
        ),
        (
            "vit_tiny_patch16_224",
            {"patch_drop_rate": 0.5},
            HOLD + "'patch_drop_rate'. Leave it out.",
        ),
        (
            "resnt18",
            {},
            "model.encoder must be a timm model, got 'resnt18'. Did you mean resnet18",
        ),
        ("convnxt_tiny", {}, "Did you mean convnext_tiny"),
    ],
)
def test_bad_arguments_are_one_line(name, arguments, message):
    with pytest.raises(InputError) as caught:
        create_encoder(name, image_size=64, channels=3, arguments=arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["vit_*", "deit*"])
def test_a_third_of_the_family_is_taken_or_refused_in_one_line(pattern):
    taken, refused = 0, {}
    for name in timm.list_models(pattern)[::3]:
        try:
            with torch.device("meta"):
                encoder = create_encoder(
                    name,
                    image_size=32,
                    channels=1,
                    patch_size=8,
                    width=96,
                    depth=1,
                    heads=3,
                )
        except InputError as error:
            refused[name] = str(error)
            continue
        taken += 1
        assert (
            encoder.embed_dim,
            len(encoder.blocks),
            encoder.patch_embed.grid_size,
        ) == (96, 1, (4, 4)), name
        assert encoder.head.__class__.__name__ == "Identity", name
        assert hasattr(encoder.blocks[0].mlp.fc1, "out_features"), name
    assert taken >= {"vit_*": 40, "deit*": 4}[pattern]
    for name, message in refused.items():
        assert message.startswith(
            f"model.width must not be set for {name}, which is not a plain VisionTransformer"
        )
        assert "\n" not in message


def shaped(**changes):
    return {
        "name": "vit_tiny_patch16_224",
        "image_size": 32,
        "channels": 3,
        "patch_size": 8,
        **NARROW,
    } | changes


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
        DIVISIBLE
        + "8 of vit_tiny_patch16_224, got 33. Use 32, or another model.patch_size.",
    ),
    (
        shaped(image_size=3),
        DIVISIBLE
        + "8 of vit_tiny_patch16_224, got 3. Use 16, or another model.patch_size.",
    ),
    (
        shaped(image_size=40, patch_size=None),
        DIVISIBLE + "16 of vit_tiny_patch16_224, got 40. Use 32",
    ),
    (
        shaped(image_size=8),
        "data.image_size must hold at least 2 x 2 patches of 8 pixels, got 8.",
    ),
    (
        shaped(image_size=16, patch_size=None),
        "data.image_size must hold at least 2 x 2 patches of 16 pixels, got 16.",
    ),
    (shaped(width=20, heads=3), WIDTH + "3, got 20."),
    (shaped(width=18), WIDTH + "2, got 18."),
    (
        shaped(width=20, heads=None),
        "model must be a shape that timm can build, got 'vit_tiny_patch16_224': dim should",
    ),
    (
        shaped(width=None, heads=5),
        "model must be a shape that timm can build, got 'vit_tiny_patch16_224': dim should",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=[message[-40:] for _, message in BAD]
)
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
    encoder = create_encoder(
        **shaped(image_size=image_size, patch_size=patch_size, channels=channels)
    )
    side = image_size // patch_size
    assert encoder.patch_embed.grid_size == (side, side)
    with torch.no_grad():
        tokens = encoder.forward_features(
            torch.randn(1, channels, image_size, image_size)
        )
    assert tokens.shape == (1, 1 + side * side, 16)
    assert tokens.isfinite().all()


def test_none_keeps_the_named_architecture():
    encoder = create_encoder("vit_tiny_patch16_224", image_size=64, channels=3)
    assert (
        encoder.embed_dim,
        len(encoder.blocks),
        encoder.blocks[0].attn.num_heads,
    ) == (192, 12, 3)
    assert encoder.patch_embed.patch_size == (16, 16)
    assert not list(encoder.head.parameters())
