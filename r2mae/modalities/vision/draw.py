"""Reconstructions of held-out images for `r2mae report`."""

import base64
import io
from typing import Any

import torch

from r2mae.loaded_run import LoadedRun
from r2mae.models.frozen_mask import frozen_mask
from r2mae.page.markup import paragraph
from r2mae.page.slider import RATIOS, ratio_slider
from r2mae.training.pictures import lay_out

_IMAGES = 6
_PHOTO = 64  # pixels a side from which JPEG is used


def draw_samples(loaded: LoadedRun) -> str:
    """A picture for each mask ratio; "" for a model that predicts no pixels."""
    model: Any = loaded.model
    _, batch = loaded.held_out(_IMAGES)
    frames = {}
    for ratio in RATIOS:
        with torch.no_grad():
            painted = model.paint(batch, frozen_mask(model, batch, ratio))
        if painted is None:
            return ""
        frames[ratio] = _encode(painted, ratio)
    caption = "Rows: held-out images, their visible patches, and the prediction."
    note = getattr(model, "picture_note", "")
    return paragraph(f"{caption} {note}".strip()) + ratio_slider(frames)


def _encode(painted: torch.Tensor, ratio: float) -> str:
    """painted (B, 3, C, H, W) as an <img>: a column for each image."""
    from PIL import Image

    canvas, _ = lay_out(list(painted))
    is_photo = min(painted.shape[-2:]) >= _PHOTO
    kind, options = ("jpeg", {"quality": 80}) if is_photo else ("png", {})
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, kind, **options)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = f"original, masked and predicted images at mask ratio {ratio:g}"
    return f'<img alt="{text}" src="data:image/{kind};base64,{data}">'
