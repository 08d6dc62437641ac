import pytest

from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.schema import AugmentSection, VisionData, VisionModel
from r2mae.schema.section import validate

DATA = {"card": "digits", "image_size": 8}
MODEL = {"encoder": "vit_tiny_patch16_224"}


def test_data_defaults():
    data = validate(VisionData, DATA, "recipe.yaml")
    assert (
        data.root,
        data.channels,
        data.held_out,
        data.on_bad_sample,
        data.cache_mib,
    ) == (None, 3, 0.05, "stop", 256)
    assert data.augment == AugmentSection(crop_scale=(0.2, 1.0), flip=True)


def test_images_of_ones_own_need_no_card():
    data = validate(VisionData, {"root": "photos", "image_size": 8}, "recipe.yaml")
    assert load_card(data.card).provision == "own"


def test_augmentation_can_be_off():
    assert validate(VisionData, DATA | {"augment": None}, "recipe.yaml").augment is None


@pytest.mark.parametrize("scale", [[0.2, 1.0], [1, 1], [0.001, 0.001], [0.5, 0.75]])
def test_good_crop_scales(scale):
    assert validate(
        AugmentSection, {"crop_scale": scale}, "recipe.yaml"
    ).crop_scale == tuple(scale)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"card": None}, "card must be text, got null."),
        ({"root": 3}, "root must be text, got 3."),
        ({"image_size": 0}, "image_size must be at least 1, got 0."),
        ({"image_size": 4097}, "image_size must be at most 4096, got 4097."),
        ({"image_size": "8"}, 'image_size must be a whole number, got "8".'),
        ({"image_size": [8, 0]}, "image_size.1 must be at least 1, got 0."),
        ({"image_size": [8]}, "image_size.1 must be given, got nothing."),
        ({"channels": 0}, "channels must be at least 1, got 0."),
        (
            {"value_range": [5, 5]},
            "value_range must be [black, white], black < white, got [5.0, 5.0].",
        ),
        (
            {"background": [0, 0, 256]},
            "background must be levels of red, green and blue, 0 to 255, "
            "got [0, 0, 256].",
        ),
        (
            {"held_out": 5},
            "held_out must be less than 1.0, got 5. Ratios are fractions; did you mean 0.05?",
        ),
        ({"held_out": 0}, "held_out must be greater than 0.0, got 0."),
        (
            {"on_bad_sample": "skp"},
            "on_bad_sample must be 'stop' or 'skip', got \"skp\". Did you mean skip?",
        ),
        ({"cache_mib": -1}, "cache_mib must be at least 0, got -1."),
        ({"augment": True}, "augment must be a section of keys, got true."),
        ({"augment": {"flip": "no"}}, 'augment.flip must be true or false, got "no".'),
        (
            {"augment": {"crop": [0.2, 1]}},
            "augment.crop must be a key of augment. Known: crop_scale, flip.",
        ),
        (
            {"augmnt": None},
            "augmnt must be a key of the document. Did you mean augment?",
        ),
    ],
)
def test_bad_data(change, sentence):
    with pytest.raises(InputError) as caught:
        validate(VisionData, DATA | change, "recipe.yaml")
    assert str(caught.value) == f"recipe.yaml: {sentence}"


@pytest.mark.parametrize(
    "scale", [[0, 1], [0.9, 0.2], [20.0, 100.0], [0.2, 1.5], [-0.5, 0.5]]
)
def test_bad_crop_scale(scale):
    with pytest.raises(InputError) as caught:
        validate(VisionData, DATA | {"augment": {"crop_scale": scale}}, "recipe.yaml")
    rule = "augment.crop_scale must satisfy 0 < low <= high <= 1"
    assert str(caught.value) == f"recipe.yaml: {rule}, got {[float(x) for x in scale]}."


@pytest.mark.parametrize(("width", "heads"), [(512, 16), (64, 4), (4, 1), (12, 3)])
def test_good_decoders(width, heads):
    model = validate(
        VisionModel,
        MODEL | {"decoder_width": width, "decoder_heads": heads},
        "recipe.yaml",
    )
    assert (model.decoder_width, model.decoder_heads) == (width, heads)


@pytest.mark.parametrize(("width", "heads"), [(30, 2), (64, 5), (6, 3), (512, 24)])
def test_decoder_width_must_divide(width, heads):
    with pytest.raises(InputError) as caught:
        validate(
            VisionModel,
            MODEL | {"decoder_width": width, "decoder_heads": heads},
            "recipe.yaml",
        )
    rule = f"decoder_width must be divisible by 4 and by decoder_heads = {heads}, got {width}."
    assert str(caught.value) == f"recipe.yaml: {rule}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"encoder": None}, "encoder must be text, got null."),
        ({"patch_size": 0}, "patch_size must be at least 1, got 0."),
        ({"depth": 0}, "depth must be at least 1, got 0."),
        ({"width": 3}, "width must be at least 4, got 3."),
        ({"heads": 513}, "heads must be at most 512, got 513."),
        ({"decoder_depth": -1}, "decoder_depth must be at least 0, got -1."),
        ({"normalize_targets": 1}, "normalize_targets must be true or false, got 1."),
        ({"init_from": 1}, "init_from must be text, got 1."),
        (
            {"decoder_dim": 64},
            "decoder_dim must be a key of the document. Did you mean decoder_width or",
        ),
    ],
)
def test_bad_models(change, sentence):
    with pytest.raises(InputError) as caught:
        validate(VisionModel, MODEL | change, "recipe.yaml")
    assert str(caught.value).startswith(f"recipe.yaml: {sentence}")


def test_decoders_are_maes_where_not_given():
    model = validate(VisionModel, MODEL | {"decoder_depth": 2}, "recipe.yaml")
    assert model.decoder == {
        "decoder_depth": 2,
        "decoder_width": 512,
        "decoder_heads": 16,
    }
    assert (
        model.decoder_width is None
    )  # so that a backbone can tell a key that it would ignore


def test_arguments_are_any_plain_values():
    given = {
        "depths": [1, 2],
        "use_grn": True,
        "rate": 0.1,
        "kind": "conv",
        "inside": {"a": None},
    }
    assert (
        validate(VisionModel, MODEL | {"arguments": given}, "recipe.yaml").arguments
        == given
    )
    with pytest.raises(InputError, match="arguments must be a section of keys, got 3"):
        validate(VisionModel, MODEL | {"arguments": 3}, "recipe.yaml")
