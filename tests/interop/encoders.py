"""Untrained runs of every encoder on stand-in data, tiny, for tests of exports."""

import torch

from r2mae.loaded_run import LoadedRun
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe
from tests.conftest import ROOT, TINY

_VIT = tuple(setting for setting in TINY if setting.startswith("model."))
_TEXT = "width: 16, depth: 2, heads: 2, hidden: 16"
_CONV = "{encoder: conv, width: 16, depth: 2, kernel: 3, dilations: [1, 2]}"
_BACKBONES = {
    "ConvNeXt": ("convnext_atto", "{depths: [1, 1, 1, 1], dims: [8, 8, 16, 16]}"),
    "ResNet": ("resnet18", "{layers: [1, 1, 1, 1], channels: [8, 8, 16, 16]}"),
    "Swin": (
        "swin_tiny_patch4_window7_224",
        "{depths: [1, 1], num_heads: [2, 4], embed_dim: 16, window_size: 4}",
    ),
    "Mixer": ("mixer_s16_224", "{num_blocks: 1, embed_dim: 16, patch_size: 8}"),
}


def _texts(encoder):
    return (
        f"model={{encoder: {encoder}, {_TEXT}}}",
        "data.tokenizer={vocab_size: 300}",
        "data.length=32",
    )


# Encoder -> (recipe, settings); shapes that train in no time.
ENCODERS = {
    "ViT": ("digits_demo", _VIT),
    **{
        name: (
            "digits_demo",
            (
                f"model={{encoder: {encoder}, patch_size: 8, arguments: {arguments}}}",
                "data.image_size=32",
            ),
        )
        for name, (encoder, arguments) in _BACKBONES.items()
    },
    **{
        name: ("gutenberg_tiny", _texts(name.lower()))
        for name in ("ModernBERT", "BERT", "RoBERTa", "ESM")
    },
    "DNA convolutions": ("motifs_demo", (f"model={_CONV}",)),
    "equivariant DNA convolutions": (
        "motifs_demo",
        (f"model={_CONV}", "model.rc_equivariant=true"),
    ),
    "DNA transformer": ("motifs_demo", (f"model={{encoder: modernbert, {_TEXT}}}",)),
    "alignment convolutions": ("brca1_msa", (f"model={_CONV}", "data.length=32")),
    "alignment transformer": (
        "brca1_msa",
        (f"model={{encoder: bert, {_TEXT}}}", "data.length=32"),
    ),
    "cell MLP": (
        "pbmc3k_mlp",
        (
            "data.genes={top_variable: 40}",
            "model={encoder: mlp, width: 8, depth: 1, hidden: 16, components: 4}",
        ),
    ),
    "cell transformer": (
        "pbmc3k_transformer",
        (
            "model={encoder: transformer, width: 16, depth: 1, heads: 2}",
            "data.genes={top_variable: 40}",
        ),
    ),
    "algebra two-layer": ("modular_addition_demo", ()),
    "algebra transformer": ("s4_composition", ()),
}


# Of one number a sequence, over both strands.
REGRESSIONS = {
    "DNA convolutions": ("gue_finetune", (f"model={_CONV}", "data.both_strands=true")),
    "DNA transformer": (
        "gue_finetune",
        (f"model={{encoder: modernbert, {_TEXT}}}", "data.both_strands=true"),
    ),
}


# Fine-tuned encoders that have modeling files of their own.
TUNED = {
    "cell MLP": ("pbmc3k_finetune", ENCODERS["cell MLP"][1]),
    "cell transformer": ("pbmc3k_finetune", ENCODERS["cell transformer"][1]),
    "DNA convolutions": ("gue_finetune", (f"model={_CONV}",)),
    "equivariant DNA convolutions": (
        "gue_finetune",
        (f"model={_CONV}", "model.rc_equivariant=true"),
    ),
}


def load_encoder(name, folder, more=()):
    """An untrained run of an encoder, as `load_run` would give it. more: settings."""
    recipe_name, settings = ENCODERS[name]
    return _load(recipe_name, (*settings, *more), folder)


def load_regression(name, folder, target):
    """An untrained regression. target: {"mean", "spread"} of its numbers."""
    recipe_name, settings = REGRESSIONS[name]
    settings = (*settings, "tune={target: regression}")
    facts = {"classes": [0], "class_names": ["value"], "target": target}
    return _load(recipe_name, settings, folder, 1, facts)


def load_tuned(name, folder, target, more=(), units=None):
    """A classifier with random weights, of 3 classes or of one number. target: of labels.

    units: {"mean", "spread"} of a regression's numbers.
    """
    recipe_name, settings = TUNED[name]
    names = ["value"] if target == "regression" else ["a", "b", "c"]
    facts = {"classes": list(range(len(names))), "class_names": names}
    if units is not None:
        facts["target"] = units
    settings = (*settings, "repeat={}", f"tune={{target: {target}}}", *more)
    loaded = _load(recipe_name, settings, folder, len(names), facts)
    draw = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    return loaded


def _load(recipe_name, settings, folder, num_classes=None, facts=()):
    path = str(next((ROOT / "recipes").rglob(f"{recipe_name}.yaml")))
    recipe = load_recipe(path, list(settings))
    wing = find_wing(recipe.modality)
    data = folder / "stand_in"
    data.mkdir(parents=True)
    recipe = load_recipe(path, [*settings, *wing.stand_in(recipe, data)])
    manifest = {
        "recipe": recipe.model_dump(mode="json"),
        **wing.checkpoint_facts(recipe),
        **dict(facts),
    }
    recipe = wing.with_checkpoint_facts(recipe, manifest)
    model = wing.build_model(recipe, num_classes).eval()
    return LoadedRun(wing, None, recipe, manifest, model)
