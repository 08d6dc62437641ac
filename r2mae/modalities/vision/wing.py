"""The vision wing: images, with ViTs and other timm models."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError
from r2mae.evaluation.read_out import ReadOut
from r2mae.interop.exports import Export
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.vision import reconstruct
from r2mae.modalities.vision.schema import VisionFinetuneRecipe, VisionPretrainRecipe
from r2mae.wing import Wing
from r2mae.wing_commands import Subcommand

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.interop.inference import Inference
    from r2mae.schema.recipe import AnyRecipe


def _export_to_timm(loaded: LoadedRun, folder: Path) -> float:
    from r2mae.modalities.vision.export import export_to_timm

    return export_to_timm(loaded, folder)


def _export_to_transformers(loaded: LoadedRun, folder: Path) -> float:
    from r2mae.modalities.vision.export import export_to_transformers

    return export_to_transformers(loaded, folder)


_SUBCOMMANDS = {
    "reconstruct": Subcommand(
        "draw masked and predicted images",
        reconstruct.run,
        reconstruct.add_arguments,
    )
}
_HUB_TASKS = ("image-feature-extraction", "image-classification")
_LOAD_TIMM = """import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"""
_LOAD_TRANSFORMERS = """from transformers import AutoImageProcessor, ViTMAEForPreTraining, ViTModel

processor = AutoImageProcessor.from_pretrained("FOLDER")
autoencoder = ViTMAEForPreTraining.from_pretrained("FOLDER")  # encoder and decoder
encoder = ViTModel.from_pretrained("FOLDER", add_pooling_layer=False)
# (B, D): encoder(**processor(image, return_tensors="pt")).last_hidden_state[:, 1:].mean(1)"""
_EXPORTS = {
    "timm": Export(
        _export_to_timm,
        lambda loaded: _LOAD_TIMM,  # noqa: ARG005
        "timm",
        _HUB_TASKS,
    ),
    "transformers": Export(
        _export_to_transformers,
        lambda loaded: _LOAD_TRANSFORMERS,  # noqa: ARG005
        "transformers",
        _HUB_TASKS,
    ),
}


class VisionWing(Wing):
    """Images; masks hide patches."""

    name = "vision"
    pretrain_recipe = VisionPretrainRecipe
    finetune_recipe = VisionFinetuneRecipe
    subcommands = _SUBCOMMANDS
    exports = _EXPORTS
    demo_read_out = ReadOut(pool="concat")  # a mean forgets where a stroke is

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Images of a split, "train" or "test"."""
        from r2mae.modalities.vision import assembly

        return assembly.open_split(recipe, split)

    def draws_test_split(self, recipe: AnyRecipe) -> bool:
        """Unless there are images of a test split."""
        from r2mae.data.card import load_card
        from r2mae.modalities.vision.image_records import has_split

        return not has_split(load_card(recipe.data.card), recipe.data.root, "test")

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """Images of files, of one folder, or of parquet files."""
        from r2mae.modalities.vision import assembly

        return assembly.open_paths(recipe, paths)

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """One image or several, as PIL images or uint8 arrays (H, W), (H, W, C) or (N, H, W, C)."""
        from r2mae.modalities.vision import assembly

        return assembly.open_objects(recipe, objects)

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """Splits, classes, files that are not read, and pixels of a sample of files."""
        from r2mae.modalities.vision.describe import describe_data

        return describe_data(recipe)

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """Class folders of random images."""
        from r2mae.modalities.vision.stand_in import stand_in

        return stand_in(recipe, folder)

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """A `MaskedAutoencoder` of a plain ViT, or a `MaskedBackbone`."""
        from r2mae.modalities.vision import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """An `ImageEncoder`."""
        from r2mae.modalities.vision import assembly

        return assembly.build_encoder(recipe)

    def check_same_input(self, loaded: LoadedRun, recipe: AnyRecipe) -> None:
        """Raise InputError unless image size and channels are the run's."""
        for name in ("image_size", "channels"):
            ours, theirs = getattr(loaded.recipe.data, name), getattr(recipe.data, name)
            if ours != theirs:
                raise InputError(
                    f"data.{name} of --data must be {ours}, as the run's, got {theirs}. "
                    "Set it in that recipe."
                )

    def draw_samples(self, loaded: LoadedRun) -> str:
        """Original, masked and predicted images, with a slider over mask ratios."""
        from r2mae.modalities.vision.draw import draw_samples

        return draw_samples(loaded)

    def inference(self, loaded: LoadedRun) -> Inference:
        """Inputs and features of an exported model."""
        from r2mae.modalities.vision.inference import image_inference

        return image_inference(loaded)


WING = VisionWing()
