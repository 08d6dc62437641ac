"""What each modality brings: its model and its data. A new one is one line in `MODALITIES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from r2mae.datasets.source import SampleSource, hold_out
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.schema.pretrain import Recipe

AnyRecipe = Recipe[Any, Any]


def _build_vision(recipe: AnyRecipe) -> nn.Module:
    from r2mae.datasets.card import load_card
    from r2mae.interop.weights import load_initial_weights
    from r2mae.models.masked_backbone import MaskedBackbone
    from r2mae.models.timm_encoder import create_encoder, is_plain_vit
    from r2mae.models.vision import MaskedAutoencoder

    data, section = recipe.data, recipe.model
    card = load_card(data.card)
    encoder = create_encoder(
        section.encoder,
        image_size=data.image_size,
        channels=data.channels,
        patch_size=section.patch_size,
        width=section.width,
        depth=section.depth,
        heads=section.heads,
        arguments=section.arguments,
    )
    shared = {
        "normalize_targets": section.normalize_targets,
        "pixel_mean": _per_channel(card.mean, data.channels),
        "pixel_std": _per_channel(card.std, data.channels),
    }
    model: nn.Module
    if is_plain_vit(encoder):
        model = MaskedAutoencoder(encoder, **section.decoder, **shared)
    else:
        _check_no_decoder(section)
        model = MaskedBackbone(encoder, image_size=data.image_size, patch_size=section.patch_size, **shared)
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    return model


def _check_no_decoder(section: Any) -> None:
    for name in section.decoder:
        if getattr(section, name) is not None:
            raise InputError(
                f"model.{name} must not be given with {section.encoder}, whose decoder is one linear map, "
                f"got {getattr(section, name)}. Leave it out, or choose a plain ViT."
            )


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A card's statistics for grey or colour: grey takes their mean, colour repeats grey's."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def _open_vision(recipe: AnyRecipe, split: str) -> SampleSource:
    from r2mae.datasets.vision import open_images

    return open_images(recipe.data, split)


def _open_vision_paths(recipe: AnyRecipe, paths: list[str]) -> SampleSource:
    from r2mae.datasets.vision import open_image_paths

    return open_image_paths(recipe.data, paths)


@dataclass(frozen=True)
class Modality:
    """How a modality makes its model and opens its data."""

    build_model: Callable[[AnyRecipe], nn.Module]
    open_split: Callable[[AnyRecipe, str], SampleSource]
    open_paths: Callable[[AnyRecipe, list[str]], SampleSource]


MODALITIES = {"vision": Modality(_build_vision, _open_vision, _open_vision_paths)}


def build_model(recipe: AnyRecipe) -> nn.Module:
    """The recipe's model with initial weights that depend on its seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(host_bits(recipe.seed, RandomStream.WEIGHTS) >> 1)
        return MODALITIES[recipe.modality].build_model(recipe)


def build_outline(recipe: AnyRecipe) -> nn.Module:
    """The recipe's model without memory for its weights (on torch's meta device): shapes and costs, at once.

    A recipe with `init_from` is built in full, so that what does not fit is found.
    """
    if recipe.model.init_from is not None:
        return build_model(recipe)
    with torch.device("meta"):
        return MODALITIES[recipe.modality].build_model(recipe)


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """All samples of a split, "train" or "test"."""
    return MODALITIES[recipe.modality].open_split(recipe, split)


def open_paths(recipe: AnyRecipe, paths: list[str]) -> SampleSource:
    """Samples that a user names on the command line, read as the recipe reads its own."""
    return MODALITIES[recipe.modality].open_paths(recipe, paths)


def count_training_samples(recipe: AnyRecipe) -> tuple[int, dict[str, Any]]:
    """(samples that train, what is known of the data); a hub data set is counted by its card, not fetched.

    Raises: InputError when a root is given and the data is not there, or nothing tells how many there are.
    """
    from r2mae.datasets.card import load_card, locate

    card = load_card(recipe.data.card)
    about = {"title": card.title, "licence": card.licence}
    if card.embedded is None and locate(card, recipe.data.root) is None:
        known = card.num_samples.get("train")
        if known is None:
            raise InputError("data.root must be given for this card, got nothing. Name the folder of your data.")
        return known - round(recipe.data.held_out * known), about | {"found": f"not here; hub id {card.hub}"}
    train, held_out = open_training_data(recipe)
    place = locate(card, recipe.data.root)
    counts = f"{len(train):,} samples to train, {len(held_out):,} held out"
    found = f"{place or card.embedded}: {counts}, fingerprint {train.fingerprint}"
    return len(train), about | {"found": found}


def open_training_data(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out of the training split)."""
    return hold_out(open_split(recipe, "train"), recipe.data.held_out)
