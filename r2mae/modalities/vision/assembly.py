"""Models and data of a vision recipe."""

from typing import Any

from torch import nn

from r2mae.data.source import SampleSource
from r2mae.errors import InputError
from r2mae.modalities.vision.statistics import pixel_statistics
from r2mae.schema.recipe import AnyRecipe


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """A masked autoencoder around a plain ViT; masked modelling with any other backbone."""
    from r2mae.modalities.vision.interop.weights import load_initial_weights
    from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
    from r2mae.modalities.vision.models.masked_backbone import MaskedBackbone
    from r2mae.modalities.vision.models.timm_encoder import is_plain_vit

    section, encoder = recipe.model, _create_encoder(recipe)
    shared = {
        "normalize_targets": section.normalize_targets,
        **pixel_statistics(recipe.data),
    }
    model: nn.Module
    if is_plain_vit(encoder):
        model = MaskedAutoencoder(encoder, **section.decoder, **shared)
    else:
        _check_no_decoder(section)
        model = MaskedBackbone(
            encoder,
            image_size=recipe.data.image_size,
            patch_size=section.patch_size,
            **shared,
        )
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    return model


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The encoder of a fine-tuning recipe; position embeddings are trained too."""
    from r2mae.modalities.vision.interop.weights import load_initial_weights
    from r2mae.modalities.vision.models.autoencoder import initialize_like_mae
    from r2mae.modalities.vision.models.image_encoder import ImageEncoder
    from r2mae.modalities.vision.models.timm_encoder import is_plain_vit, takes

    section = recipe.model
    # Passed even when 0: some architectures have stochastic depth by default.
    drops = section.drop_path > 0 or takes(section.encoder, "drop_path_rate")
    options = {"drop_path_rate": section.drop_path} if drops else {}
    encoder = _create_encoder(recipe, **options)
    if is_plain_vit(encoder):
        initialize_like_mae(encoder, encoder)
    model = ImageEncoder(
        encoder, pooling=section.pooling, **pixel_statistics(recipe.data)
    )
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    # Position embeddings are fixed in pretraining and trained here.
    return model.requires_grad_()


def _create_encoder(recipe: AnyRecipe, **options: Any) -> Any:
    from r2mae.modalities.vision.models.timm_encoder import create_encoder

    data, section = recipe.data, recipe.model
    return create_encoder(
        section.encoder,
        image_size=data.image_size,
        channels=data.channels,
        patch_size=section.patch_size,
        width=section.width,
        depth=section.depth,
        heads=section.heads,
        arguments=dict(section.arguments) | options,
    )


def _check_no_decoder(section: Any) -> None:
    for name in section.decoder:
        if getattr(section, name) is not None:
            raise InputError(
                f"model.{name} must not be set for {section.encoder}, whose decoder is "
                f"one linear layer, got {getattr(section, name)}. "
                "Leave it out, or choose a plain ViT."
            )


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """Images of a split."""
    from r2mae.modalities.vision.images import open_images

    return open_images(recipe.data, split)


def open_paths(recipe: AnyRecipe, paths: list[str]) -> SampleSource:
    """Image files, a folder of them, or a parquet file, named by the user."""
    from r2mae.modalities.vision.images import open_image_paths

    return open_image_paths(recipe.data, paths)


def open_objects(recipe: AnyRecipe, images: Any) -> SampleSource:
    """Images in memory."""
    from r2mae.modalities.vision.images import open_image_objects

    return open_image_objects(recipe.data, images)
