"""The features of images as a function of plain tensors, for ONNX and torch.export."""

import torch

from r2mae.interop.inference import Inference, TensorInput, encoder_of
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.vision.schema import height_width


def image_inference(loaded: LoadedRun) -> Inference:
    """Pixels (B, C, H, W) -> features; standardisation is part of the model."""
    data, encoder = loaded.recipe.data, encoder_of(loaded.model)
    shape = (data.channels, *height_width(data.image_size))
    images = TensorInput(
        "images",
        ("batch", *shape),
        "pixels 0 to 255, resized and cropped; the model standardises them",
    )
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, *shape), dtype=torch.uint8, generator=generator)

    def tensors(batch: dict) -> dict:  # type: ignore[type-arg]
        return {"images": batch["images"]}

    return Inference((images,), {"images": pixels}, tensors, encoder.embed)
