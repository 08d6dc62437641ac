"""Reconstructions as one picture: one row per sample: original, then masked and predicted image at each ratio."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from r2mae.data.source import Batch
from r2mae.masking.pattern import Mask

_GAP = 2  # pixels between panels
_SMALLEST = 96  # pixels a panel; smaller images are enlarged without smoothing


def save_pictures(model: Any, batch: Batch, masks: list[Mask], path: Path) -> bool:
    """Write a PNG of reconstructions for each mask; False if the model has no pictures.

    Columns: original, then masked and predicted for every mask.
    """
    panels: list[torch.Tensor] = []
    for mask in masks:
        painted = model.paint(batch, mask)
        if painted is None:
            return False
        panels.extend(painted.unbind(1) if not panels else painted[:, 1:].unbind(1))
    from PIL import Image

    height, width = panels[0].shape[-2:]
    zoom = max(1, -(-_SMALLEST // min(height, width)))
    columns = [
        panel.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3) for panel in panels
    ]
    high, wide = height * zoom, width * zoom
    rows = len(columns[0])
    shape = (rows * (high + _GAP) - _GAP, len(columns) * (wide + _GAP) - _GAP, 3)
    canvas = np.full(shape, 255, dtype=np.uint8)
    for column, images in enumerate(columns):
        for row, image in enumerate(images.cpu().permute(0, 2, 3, 1).numpy()):
            top, left = row * (high + _GAP), column * (wide + _GAP)
            # Grey spreads over RGB; of further channels the first three are shown.
            shown = image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1]
            canvas[top : top + high, left : left + wide] = shown
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path)
    return True
