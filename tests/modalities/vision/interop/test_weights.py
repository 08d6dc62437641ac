import json
from argparse import Namespace
from fractions import Fraction

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from transformers import (
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTMAEModel,
    ViTModel,
)

from r2mae.errors import InputError
from r2mae.modalities.vision.export import export_to_timm, export_to_transformers
from r2mae.modalities.vision.interop.vit_mae import from_vit_mae
from r2mae.modalities.vision.interop.weights import load_initial_weights
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.masked_backbone import MaskedBackbone
from r2mae.modalities.vision.models.timm_encoder import create_encoder
from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from r2mae.training.checkpoint import MODEL, save
from r2mae.training.start import describe_start
from tests.conftest import DEMO, TINY
from tests.training.runs import train

CONFIG = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 64,
}
NEVER_LOADED = {"pixel_mean", "pixel_std"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def said(encoder, heads=None):
    """What a checkpoint says of its model."""
    return {"recipe": {"model": {"encoder": encoder, "heads": heads}}}


def make(
    *, image_size=32, width=32, depth=2, decoder_depth=1, decoder_width=16, seed=0
):
    torch.manual_seed(seed)
    shape = {"patch_size": 8, "width": width, "depth": depth, "heads": 2}
    return MaskedAutoencoder(
        create_encoder(
            "vit_tiny_patch16_224", image_size=image_size, channels=3, **shape
        ),
        decoder_depth=decoder_depth,
        decoder_width=decoder_width,
        decoder_heads=2,
        normalize_targets=True,
        pixel_mean=(0.5,) * 3,
        pixel_std=(0.5,) * 3,
    )


def shaken(model, seed=1):
    """The same model with every parameter random."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def timm_vit(num_classes=10):
    shape = {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
    }
    return shaken(
        timm.create_model("vit_tiny_patch16_224", num_classes=num_classes, **shape)
    )


def check_loaded(model, expected):
    """What expected names is in the model, the rest is as seed 0 made it."""
    fresh, found = make().state_dict(), model.state_dict()
    assert not any(torch.equal(expected[name], fresh[name]) for name in expected)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected.get(name, fresh[name])), name
    frozen = {
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    assert frozen == {"encoder.pos_embed", "decoder_positions"}


def test_a_folder_of_vit_mae(tmp_path):
    source = shaken(ViTMAEForPreTraining(ViTMAEConfig(**CONFIG)))
    source.save_pretrained(tmp_path)
    assert "vit.encoder.layer.0.attention.attention.query.weight" in load_file(
        tmp_path / "model.safetensors"
    )
    model = make()
    load_initial_weights(model, str(tmp_path))
    expected = from_vit_mae(source.state_dict())
    assert expected.keys() == model.state_dict().keys()
    check_loaded(model, expected)


def test_an_encoder_of_vit_mae_leaves_the_decoder_as_it_was(tmp_path):
    source = shaken(ViTMAEModel(ViTMAEConfig(**CONFIG)))
    source.save_pretrained(tmp_path)
    model = make()
    load_initial_weights(model, str(tmp_path))
    check_loaded(
        model,
        from_vit_mae(
            {f"vit.{name}": tensor for name, tensor in source.state_dict().items()}
        ),
    )
    assert model.decoder_positions.any()


@pytest.mark.parametrize(
    "name", ["vit.safetensors", "vit.pth", "nested.pth", "vit.bin"]
)
def test_a_file_of_timm_weights(tmp_path, name):
    state, path = timm_vit().state_dict(), tmp_path / name
    if name.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save({"model": state} if name.startswith("nested") else state, path)
    model = make()
    load_initial_weights(model, str(path))
    check_loaded(
        model,
        {
            f"encoder.{key}": tensor
            for key, tensor in state.items()
            if not key.startswith("head")
        },
    )


@pytest.mark.parametrize("where", ["run", "run/checkpoints/step_5"])
def test_a_run_and_a_checkpoint(tmp_path, where):
    source = shaken(make())
    weights = {f"model.{name}": tensor for name, tensor in source.state_dict().items()}
    save(
        tmp_path / "run" / "checkpoints" / "step_5",
        {MODEL: weights},
        said("vit_tiny_patch16_224", 2),
    )
    (tmp_path / "run" / "checkpoints" / "last").write_text("step_5\n")
    (tmp_path / "run" / "recipe.yaml").touch()
    model = make()
    load_initial_weights(model, str(tmp_path / where))
    check_loaded(model, source.state_dict())


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("processor", "note"),
    [
        (None, None),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, None),
        ({"image_mean": [0.5], "image_std": [0.5]}, None),
        (IMAGENET, "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225, the recipe by"),
        (IMAGENET | {"do_normalize": False}, "mean 0, std 1, the recipe by mean 0.5, "),
    ],
)
def test_other_statistics_of_pixels_are_noted(tmp_path, processor, note):
    folder, _ = vit_folder(tmp_path / "vit")
    if processor is not None:
        content = json.dumps({"image_processor_type": "ViTImageProcessor"} | processor)
        (folder / "preprocessor_config.json").write_text(content)
    model = make()
    load_initial_weights(model, str(folder))
    text = describe_start(model)
    assert ("standardises pixels" in text) == (note is not None)
    assert note is None or note in text


@pytest.mark.parametrize(("mean", "is_noted"), [(0.5, False), (0.1, True)])
def test_other_statistics_of_a_run_are_noted(tmp_path, mean, is_noted):
    weights = {f"model.{name}": part for name, part in make().state_dict().items()}
    pixels = {"pixel_mean": [mean] * 3, "pixel_std": [0.5] * 3}
    manifest = said("vit_tiny_patch16_224", 2) | {"preprocessing": pixels}
    save(tmp_path / "run" / "checkpoints" / "step_5", {MODEL: weights}, manifest)
    model = make()
    load_initial_weights(model, str(tmp_path / "run" / "checkpoints" / "step_5"))
    assert ("standardises pixels" in describe_start(model)) == is_noted


@pytest.mark.parametrize("names", ["transformers 4", "transformers 5"])
@pytest.mark.parametrize("kind", [ViTModel, ViTForImageClassification])
def test_a_folder_of_vit(tmp_path, kind, names):
    folder, source = vit_folder(tmp_path / "vit", kind)
    if names == "transformers 5":
        save_file(
            {name: tensor.clone() for name, tensor in source.state_dict().items()},
            folder / "model.safetensors",
        )
    old = any(
        "attention.attention.query" in name
        for name in load_file(folder / "model.safetensors")
    )
    assert old == (names == "transformers 4")
    model = make()
    load_initial_weights(model, str(folder))
    encoder = source if kind is ViTModel else source.vit
    state = {
        f"vit.{name}": part
        for name, part in encoder.state_dict().items()
        if not name.startswith("pooler")
    }
    check_loaded(model, from_vit_mae(state))
    batch = {"images": torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)}
    with torch.no_grad():
        found, wanted = (
            model.embed(batch),
            encoder(model.pixels(batch)).last_hidden_state[:, 1:].mean(dim=1),
        )
    assert (found - wanted).abs().max() < 1e-5  # their norms add 1e-12, timm's 1e-6


def test_positions_of_a_vit_are_resampled_too(tmp_path):
    folder, source = vit_folder(tmp_path / "vit")
    model = make(image_size=48)
    load_initial_weights(model, str(folder))
    wanted = resample_abs_pos_embed(
        source.embeddings.position_embeddings, [6, 6], [4, 4]
    )
    assert torch.equal(model.encoder.pos_embed, wanted)


def test_positions_are_resampled_to_another_grid(tmp_path):
    source = shaken(make())
    save(
        tmp_path / "step_5",
        {MODEL: {f"model.{k}": v for k, v in source.state_dict().items()}},
        said("vit_tiny_patch16_224", 2),
    )
    model = make(image_size=48)
    load_initial_weights(model, str(tmp_path / "step_5"))
    for name in ("encoder.pos_embed", "decoder_positions"):
        old, new = source.state_dict()[name], model.state_dict()[name]
        assert new.shape == (1, 37, old.shape[2])
        assert torch.equal(new[:, :1], old[:, :1])
        assert torch.equal(new, resample_abs_pos_embed(old, [6, 6], [4, 4]))
    assert torch.equal(model.decoder_predict.weight, source.decoder_predict.weight)


def vit_mae_folder(path, **changes):
    ViTMAEForPreTraining(ViTMAEConfig(**CONFIG | changes)).save_pretrained(path)
    return path


def vit_folder(path, kind=ViTModel, **changes):
    model = shaken(
        kind(
            ViTConfig(
                **{name: CONFIG[name] for name in CONFIG if "decoder" not in name}
                | changes
            )
        )
    )
    model.save_pretrained(path)
    return path, model


def damaged_folder(path):
    file = vit_mae_folder(path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    return path


def written(path, content):
    path.write_bytes(content)
    return path


def json_folder(path, content):
    path.mkdir()
    (path / "config.json").write_text(content)
    return path


def pickled(path, state):
    torch.save(state, path)
    return path


CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16], "patch_size": 1}


def make_backbone(name="resnet18", seed=0, **arguments):
    torch.manual_seed(seed)
    shape = arguments or {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}
    encoder = create_encoder(name, image_size=64, channels=3, arguments=shape)
    settings = {
        "normalize_targets": True,
        "pixel_mean": (0.5,) * 3,
        "pixel_std": (0.5,) * 3,
    }
    return MaskedBackbone(encoder, image_size=64, **settings)


@pytest.mark.parametrize(
    ("name", "arguments"), [("resnet18", {}), ("convnext_atto", CONVNEXT)]
)
def test_a_backbone_from_timm_weights_and_from_a_run(tmp_path, name, arguments):
    """Statistics and the norm before a classifier come along, the classifier does not."""
    model, shape = (
        make_backbone(name, **arguments),
        arguments or {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]},
    )
    state = shaken(timm.create_model(name, **shape)).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load_initial_weights(model, str(tmp_path / "weights.safetensors"))
    own = model.state_dict()
    assert all(
        torch.equal(own[f"encoder.{key}"], state[key])
        for key in state
        if f"encoder.{key}" in own
    )
    assert [key for key in own if key.removeprefix("encoder.") not in state] == [
        "mask_token", "decoder_predict.weight", "decoder_predict.bias"
    ]  # fmt: skip
    assert torch.equal(own["mask_token"], before["mask_token"])
    save(
        tmp_path / "step_5",
        {MODEL: {f"model.{key}": value for key, value in own.items()}},
        said(name),
    )
    other = make_backbone(name, seed=3, **arguments)
    load_initial_weights(other, str(tmp_path / "step_5"))
    assert all(torch.equal(other.state_dict()[key], own[key]) for key in own)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            lambda: timm_vit().state_dict(),
            "must hold ResNet weights, got none of the encoder's names",
        ),
        (
            lambda: {"fc.weight": torch.zeros(2)},
            "must hold ResNet weights, got none of the encoder's names",
        ),
        (
            lambda: timm.create_model(
                "resnet18", channels=[8, 8, 16, 16], layers=[2, 1, 1, 1]
            ).state_dict(),
            "which has no encoder.layer1.1.conv1.weight. Set model.encoder and model.arguments as",
        ),
        (
            lambda: timm.create_model("resnet18").state_dict(),
            "Set model.arguments and patch_size as the source",
        ),
        (
            lambda: {
                k: v
                for k, v in make_backbone().encoder.state_dict().items()
                if "running_var" not in k
            },
            "got no encoder.bn1.running_var",
        ),
    ],
    ids=["a ViT", "a head alone", "deeper", "wider", "no statistics"],
)
def test_bad_sources_of_backbones_are_one_line(tmp_path, state, message):
    torch.save(state(), tmp_path / "x.pth")
    with pytest.raises(InputError) as caught:
        load_initial_weights(make_backbone(), str(tmp_path / "x.pth"))
    assert message in str(caught.value)


READ, FIT, WHOLE = (
    "must be readable, got ",
    "must fit the recipe's model",
    "must hold a complete encoder",
)
KIND = "must be a folder of model_type vit_mae or vit"
SHAPE = "Set model.width, depth, patch_size and decoder_* as the source has them."
BAD = {
    "no such path": (lambda at: at / "none", "must exist, got "),
    "a hub id, offline": (lambda _: "nobody/nothing-of-the-kind", READ),
    "an unknown name of timm": (lambda _: "timm/vit_tiny_no_such", READ),
    "timm's hub, offline": (lambda _: "timm/vit_tiny_patch16_224", READ),
    "an empty folder": (
        lambda at: at,
        "must hold a checkpoint or config.json, got neither",
    ),
    "another model_type": (
        lambda at: json_folder(at / "x", '{"model_type": "bert"}'),
        f"{KIND}, got 'bert'",
    ),
    "no model_type": (lambda at: json_folder(at / "x", "{}"), f"{KIND}, got None"),
    "another activation": (
        lambda at: vit_folder(at / "x", hidden_act="relu")[0],
        "must be a ViT with hidden_act gelu",
    ),
    "a ViT of another width": (
        lambda at: vit_folder(at / "x", hidden_size=16)[0],
        SHAPE,
    ),
    "a folder of timm without weights": (
        lambda at: json_folder(at / "x", '{"architecture": "vit"}'),
        READ,
    ),
    "json of no model": (lambda at: json_folder(at / "x", "[1, 2]"), READ),
    "no json": (lambda at: json_folder(at / "x", "{broken"), READ),
    "a config alone": (
        lambda at: json_folder(at / "x", json.dumps({"model_type": "vit_mae"})),
        READ,
    ),
    "a damaged folder": (lambda at: damaged_folder(at / "x"), READ),
    "a damaged file": (
        lambda at: written(at / "vit.safetensors", b"\x08\0\0\0\0\0\0\0{broken}"),
        READ,
    ),
    "an empty file": (lambda at: written(at / "vit.safetensors", b""), READ),
    "a text": (lambda at: written(at / "notes.txt", b"weights\n"), READ),
    "a pickle of no tensors": (
        lambda at: pickled(at / "x.pth", [1, 2]),
        "must be a file of named tensors, got one list",
    ),
    "weights of another net": (
        lambda at: pickled(at / "x.pth", {"conv1.weight": torch.zeros(3)}),
        "must hold ViT weights, got none of the encoder's names",
    ),
    "another width": (
        lambda at: vit_mae_folder(at / "x", hidden_size=16, intermediate_size=64),
        SHAPE,
    ),
    "another patch size": (lambda at: vit_mae_folder(at / "x", patch_size=4), SHAPE),
    "another decoder width": (
        lambda at: vit_mae_folder(at / "x", decoder_hidden_size=32),
        SHAPE,
    ),
    "a deeper encoder": (lambda at: vit_mae_folder(at / "x", num_hidden_layers=3), FIT),
    "a shallower encoder": (
        lambda at: vit_mae_folder(at / "x", num_hidden_layers=1),
        WHOLE,
    ),
    "a deeper decoder": (
        lambda at: vit_mae_folder(at / "x", decoder_num_hidden_layers=2),
        FIT,
    ),
    "half an encoder": (
        lambda at: pickled(
            at / "x.pth",
            {k: v for k, v in timm_vit().state_dict().items() if k != "norm.bias"},
        ),
        "got no encoder.norm.bias",
    ),
    "no decoder blocks": (
        lambda at: vit_mae_folder(at / "x", decoder_num_hidden_layers=0),
        WHOLE,
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD.values(), ids=list(BAD))
def test_bad_sources_are_one_line_and_change_nothing(tmp_path, build, message):
    source, model = str(build(tmp_path)), make()
    with pytest.raises(InputError) as caught:
        load_initial_weights(model, source)
    text = str(caught.value)
    assert text.startswith("model.init_from ")
    assert message in text
    assert repr(source) in text
    assert "\n" not in text
    assert len(text) < 500
    check_loaded(model, {})


def test_heads_that_weights_do_not_show(scratch):
    """Same shapes, other attention: refused for a run of ours, a timm folder and a transformers folder."""
    run = load_run(str(train("run", "schedule.steps=4").path))  # two heads
    for name, export in (
        ("timm", export_to_timm),
        ("transformers", export_to_transformers),
    ):
        (scratch / name).mkdir()
        export(run, scratch / name)
    for source in ("runs/run", "timm", "transformers"):
        recipe = load_recipe(str(DEMO), [*TINY, f"model.init_from={source}"])
        build_model(recipe)
        with pytest.raises(
            InputError, match="attention must have 4 heads, got 2. Set model.heads"
        ):
            build_model(
                load_recipe(
                    str(DEMO), [*TINY, f"model.init_from={source}", "model.heads=4"]
                )
            )


def official_mae(model):
    """A state as the official code of MAE names it."""
    names = {"decoder_positions": "decoder_pos_embed"}
    state = {}
    for name, tensor in model.state_dict().items():
        bare = names.get(name, name).removeprefix("encoder.")
        state[bare.replace("decoder_predict", "decoder_pred")] = tensor
    return state


def trained_file(path, state, **entries):
    """A file as MAE's training script writes it: an optimizer and its arguments beside."""
    arguments = Namespace(model="mae_vit_tiny", norm_pix_loss=True)
    optimizer = {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": []}
    content = {"model": state, "optimizer": optimizer, "args": arguments, "epoch": 1}
    torch.save(content | entries, path)
    return str(path)


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_issue_19_1_official_mae_keeps_its_decoder(tmp_path, prefix):
    source = shaken(make())
    state = {f"{prefix}{name}": part for name, part in official_mae(source).items()}
    model = make()
    load_initial_weights(model, trained_file(tmp_path / "mae.pth", state))
    check_loaded(model, source.state_dict())
    start = describe_start(model)
    assert "leaves nothing; new: nothing" in start
    assert "mask_token" in start


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "encoder.", "a.b.c."])
def test_issue_19_1_prefixes_of_encoders_are_removed(tmp_path, prefix):
    state = {f"{prefix}{name}": part for name, part in timm_vit().state_dict().items()}
    state["projector.weight"] = torch.zeros(2)
    model = make()
    load_initial_weights(model, trained_file(tmp_path / "vit.pth", state))
    expected = {
        f"encoder.{name.removeprefix(prefix)}": part
        for name, part in state.items()
        if "head" not in name and name != "projector.weight"
    }
    check_loaded(model, expected)
    file, num_loaded = tmp_path / "vit.pth", len(expected)
    assert describe_start(model) == (
        f"{file}: loads encoder ({num_loaded} tensors); "
        "leaves encoder.head (2 tensors), projector.weight; "
        "new: decoder_blocks (12 tensors), decoder_embed (2 tensors), "
        "decoder_norm (2 tensors), decoder_positions, decoder_predict (2 tensors), "
        "mask_token"
    )


def test_issue_19_1_two_encoders_are_refused(tmp_path):
    state = timm_vit().state_dict()
    both = {f"{side}.{name}": state[name] for side in ("base", "ema") for name in state}
    torch.save({"model": both}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"got several, under 'base\.' and 'ema\.'"):
        load_initial_weights(make(), str(tmp_path / "x.pth"))


def test_issue_19_1_a_token_of_another_method_is_no_decoder(tmp_path):
    """A SimMIM or BEiT file has a mask_token, but not MAE's decoder."""
    state = {f"encoder.{k}": v for k, v in timm_vit().state_dict().items()}
    state |= {"encoder.mask_token": torch.ones(1, 1, 32)}
    torch.save(state, tmp_path / "x.pth")
    model = make()
    load_initial_weights(model, str(tmp_path / "x.pth"))
    assert not torch.equal(model.mask_token, torch.ones(1, 1, 16))
    assert "unused.mask_token" in describe_start(model)


def test_issue_19_1_pickled_objects_are_named(tmp_path):
    state = timm_vit().state_dict()
    source = trained_file(tmp_path / "x.pth", state, best=Fraction(1, 2))
    with pytest.raises(InputError) as caught:
        load_initial_weights(make(), source)
    text = str(caught.value)
    assert "got pickled fractions.Fraction in " in text
    assert "torch.save(model.state_dict(), FILE)" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("where", ["step_5", "step_5/model.safetensors"])
def test_case_17_damaged_bytes_of_a_run_are_refused(tmp_path, where):
    weights = {f"model.{name}": part for name, part in make().state_dict().items()}
    save(tmp_path / "step_5", {MODEL: weights}, said("vit_tiny_patch16_224", 2))
    file = tmp_path / "step_5" / MODEL
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="sha256"):
        load_initial_weights(make(), str(tmp_path / where))
