"""What each modality brings: its model and its data. A new one is one line in `MODALITIES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from r2mae.datasets.source import SampleSource, hold_out
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.recipe import cell, dna, language
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import is_here

_MOST_SAMPLES = 5_000  # that the theory looks at
_MOST_VALUES = 100_000_000


def _build_masked_vision(recipe: AnyRecipe) -> nn.Module:
    from r2mae.interop.weights import load_initial_weights
    from r2mae.models.masked_backbone import MaskedBackbone
    from r2mae.models.timm_encoder import is_plain_vit
    from r2mae.models.vision import MaskedAutoencoder

    section, encoder = recipe.model, _create_encoder(recipe)
    shared = {"normalize_targets": section.normalize_targets, **_pixel_statistics(recipe)}
    model: nn.Module
    if is_plain_vit(encoder):
        model = MaskedAutoencoder(encoder, **section.decoder, **shared)
    else:
        _check_no_decoder(section)
        model = MaskedBackbone(encoder, image_size=recipe.data.image_size, patch_size=section.patch_size, **shared)
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    return model


def _build_vision_encoder(recipe: AnyRecipe) -> nn.Module:
    from r2mae.interop.weights import load_initial_weights
    from r2mae.models.image_encoder import ImageEncoder
    from r2mae.models.timm_encoder import is_plain_vit, takes
    from r2mae.models.vision import initialize_like_mae

    section = recipe.model
    # Given as 0 too: some architectures drop paths by themselves.
    drops = section.drop_path > 0 or takes(section.encoder, "drop_path_rate")
    encoder = _create_encoder(recipe, **({"drop_path_rate": section.drop_path} if drops else {}))
    if is_plain_vit(encoder):
        initialize_like_mae(encoder, encoder)
    model = ImageEncoder(encoder, pooling=section.pooling, **_pixel_statistics(recipe))
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    return model.requires_grad_()  # position embeddings, fixed in pretraining, learn here


def _create_encoder(recipe: AnyRecipe, **more: Any) -> Any:
    from r2mae.models.timm_encoder import create_encoder

    data, section = recipe.data, recipe.model
    return create_encoder(
        section.encoder,
        image_size=data.image_size,
        channels=data.channels,
        patch_size=section.patch_size,
        width=section.width,
        depth=section.depth,
        heads=section.heads,
        arguments=dict(section.arguments) | more,
    )


def _pixel_statistics(recipe: AnyRecipe) -> dict[str, tuple[float, ...]]:
    from r2mae.datasets.card import load_card

    card, channels = load_card(recipe.data.card), recipe.data.channels
    return {"pixel_mean": _per_channel(card.mean, channels), "pixel_std": _per_channel(card.std, channels)}


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
    """How a modality makes its models and opens its data."""

    build_masked: Callable[[AnyRecipe], nn.Module]
    build_encoder: Callable[[AnyRecipe], nn.Module]
    open_split: Callable[[AnyRecipe, str], SampleSource]
    open_paths: Callable[..., SampleSource]
    facts: Callable[[AnyRecipe], dict[str, Any]]  # of its data, that a checkpoint has to know
    with_facts: Callable[[AnyRecipe, dict[str, Any]], AnyRecipe]  # a recipe that needs no data to know them


MODALITIES = {
    "vision": Modality(
        _build_masked_vision,
        _build_vision_encoder,
        _open_vision,
        _open_vision_paths,
        facts=lambda recipe: {},  # noqa: ARG005
        with_facts=lambda recipe, manifest: recipe,  # noqa: ARG005
    ),
    "cell": Modality(
        cell.build_masked_cells,
        cell.build_cell_encoder,
        cell.open_cell_split,
        cell.open_given_cells,
        facts=cell.know_cells,
        with_facts=cell.with_genes,
    ),
    "language": Modality(
        language.build_masked_language,
        language.build_language_encoder,
        language.open_language_split,
        language.open_given_texts,
        facts=language.know_texts,
        with_facts=language.with_texts,
    ),
    "dna": Modality(
        dna.build_masked_dna,
        dna.build_dna_encoder,
        dna.open_dna_split,
        dna.open_given_dna,
        facts=dna.know_dna,
        with_facts=dna.with_dna,
    ),
}


def build_model(recipe: AnyRecipe, num_classes: int | None = None) -> nn.Module:
    """The recipe's model with initial weights that depend on its seed alone.

    num_classes: what a fine-tuning recipe's classifier tells apart; not asked of pretraining recipes.
    """
    modality = MODALITIES[recipe.modality]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(host_bits(recipe.seed, RandomStream.WEIGHTS) >> 1)
        if recipe.task == "pretrain":
            return modality.build_masked(recipe)
        from r2mae.models.classifier import Classifier

        assert num_classes is not None
        assert isinstance(recipe, FinetuneRecipe)
        tune, backbone = recipe.tune, modality.build_encoder(recipe)
        return Classifier(backbone, num_classes, hidden=tune.hidden, dropout=tune.dropout, freeze=tune.freeze)


def build_outline(recipe: AnyRecipe, num_classes: int | None = None) -> nn.Module:
    """The recipe's model without memory for its weights (on torch's meta device): shapes and costs, at once.

    A recipe with `init_from` is built in full, so that what does not fit is found; one whose `init_from` is not
    here (yet) is not.
    """
    if is_here(recipe.model.init_from):
        return build_model(recipe, num_classes)
    bare = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init_from": None})})
    with torch.device("meta"):
        return build_model(bare, num_classes)


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """All samples of a split, "train" or "test"."""
    return MODALITIES[recipe.modality].open_split(recipe, split)


def open_paths(recipe: AnyRecipe, paths: list[str], **options: Any) -> SampleSource:
    """Samples that a user names on the command line, read as the recipe reads its own.

    options: of cells, least_overlap, the share of the run's genes that a file must have; of texts and of labelled
        sequences, column, where a table has them under another name than the recipe's.
    """
    return MODALITIES[recipe.modality].open_paths(recipe, paths, **options)


def is_data_here(recipe: AnyRecipe) -> bool:
    """Whether a recipe's data can be read without fetching it from a hub."""
    from r2mae.datasets.card import load_card, locate

    card = load_card(recipe.data.card)
    return card.embedded is not None or locate(card, recipe.data.root) is not None


def count_training_samples(recipe: AnyRecipe) -> tuple[int, dict[str, Any]]:
    """(samples that train, what is known of the data); a hub data set is counted by its card, not fetched.

    Raises: InputError when a root is given and the data is not there, or nothing tells how many there are.
    """
    from r2mae.datasets.card import load_card, locate

    card = load_card(recipe.data.card)
    about = {"title": card.title, "licence": card.licence}
    if not is_data_here(recipe):
        known = card.num_samples.get("train")
        if known is None:
            raise InputError("data.root must be given for this card, got nothing. Name the folder of your data.")
        where = f"hub id {card.hub}" if card.hub else f"get it from {card.source}"
        share = 1 - (recipe.data.test.share or 0) if card.modality == "cell" else 1
        if card.modality == "language" and recipe.task == "pretrain":
            share = 1 / recipe.data.length  # cards of texts count tokens
        if card.modality == "dna" and recipe.task == "pretrain":
            share = 1 / (recipe.data.stride or recipe.data.length)  # cards of genomes count bases
        known = round(known * share)
        return known - round(recipe.data.held_out * known), about | {"found": f"not here; {where}"}
    train, held_out = open_training_data(recipe)
    place = locate(card, recipe.data.root)
    counts = f"{len(train):,} samples to train, {len(held_out):,} held out"
    found = f"{place or card.embedded}: {counts}, fingerprint {train.fingerprint}"
    return len(train), about | {"found": found}


def open_training_data(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out of the training split)."""
    return hold_out(open_split(recipe, "train"), recipe.data.held_out)


def read_tokens(recipe: AnyRecipe) -> tuple[npt.NDArray[np.float32], int]:
    """(values of tokens (n, T, P), samples that train): all of them, or as many, evenly spread, as memory allows.

    Raises: InputError when the data is not there.
    """
    train = open_training_data(recipe)[0]
    outline: Any = build_outline(recipe)
    probe = outline.tokens(train.load(torch.arange(1), None, 0))
    most = min(_MOST_SAMPLES, _MOST_VALUES // probe.numel(), len(train))
    rows = torch.linspace(0, len(train) - 1, most, dtype=torch.float64).long()
    parts = [outline.tokens(train.load(part, None, 0)) for part in rows.split(256)]
    return torch.cat(parts).numpy(), len(train)
