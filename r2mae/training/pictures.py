"""Reconstructions as one picture: a row per sample, with captions.

Columns are the original, then the masked and the predicted image at each mask ratio.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r2mae.data.source import Batch
from r2mae.masking.mask import Mask

_GAP = 2  # pixels between panels
_SMALLEST = 96  # pixels a panel; smaller images are enlarged without smoothing
_LINE = 14  # pixels a line of a caption
_TEXT_SIZE = 11


def save_pictures(model: Any, batch: Batch, masks: list[Mask], path: Path) -> bool:
    """Write a PNG of reconstructions for each mask; False if the model has no pictures.

    Below each column is its title with the mask ratio. Below the titles is the model's
    `picture_note`, on what in the picture the model did not predict.
    """
    panels: list[torch.Tensor] = []
    titles = ["original"]
    for mask in masks:
        painted = model.paint(batch, mask)
        if painted is None:
            return False
        panels.extend(painted.unbind(1) if not panels else painted[:, 1:].unbind(1))
        ratio = float(mask.is_masked.float().mean())
        titles += [f"{ratio:.0%} masked", f"{ratio:.0%} predicted"]
    canvas, pitch = lay_out(panels)
    note = getattr(model, "picture_note", "")
    path.parent.mkdir(parents=True, exist_ok=True)
    _add_captions(canvas, pitch, titles, note).save(path)
    return True


def lay_out(panels: list[torch.Tensor]) -> tuple[npt.NDArray[np.uint8], int]:
    """(white canvas with one panel (B, C, H, W) a column, pixels from column to column)."""
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
    return canvas, wide + _GAP


def _add_captions(
    canvas: npt.NDArray[np.uint8], pitch: int, titles: list[str], note: str
) -> Any:
    """The canvas as an image with a title below each column, and a note below all."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TEXT_SIZE)
    height, width = canvas.shape[:2]
    lines = _wrap(note, width, font)
    image = Image.new("RGB", (width, height + _LINE * (1 + len(lines)) + _GAP), "white")
    image.paste(Image.fromarray(canvas))
    draw = ImageDraw.Draw(image)
    for column, title in enumerate(titles):
        draw.text((column * pitch, height + _GAP), title, "black", font)
    for number, line in enumerate(lines, start=1):
        draw.text((0, height + _GAP + number * _LINE), line, "black", font)
    return image


def _wrap(text: str, width: int, font: Any) -> list[str]:
    """Text broken into lines of at most `width` pixels."""
    lines: list[str] = []
    for part in text.split():
        longer = f"{lines[-1]} {part}" if lines else part
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
