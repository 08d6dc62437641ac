"""Random images in class folders, for recipes whose data is missing."""

from pathlib import Path

import numpy as np
from PIL import Image

from r2mae.data.stand_in import (
    HELD_OUT,
    TEST_SAMPLES,
    data_settings,
    make_labels,
    num_samples,
)
from r2mae.modalities.vision.schema import height_width
from r2mae.schema.recipe import AnyRecipe

_CELLS = 8  # per side, each of one colour: files stay small and quick to write


def stand_in(recipe: AnyRecipe, folder: Path) -> list[str]:
    """Write PNG files of the recipe's image size and channels; gives its settings."""
    draw = np.random.default_rng(0)
    height, width = height_width(recipe.data.image_size)
    channels = recipe.data.channels
    for split, count in (("train", num_samples(recipe)), ("test", TEST_SAMPLES)):
        for number, label in enumerate(make_labels(recipe, count)):
            file = folder / split / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cells = draw.integers(0, 256, (_CELLS, _CELLS, channels), dtype=np.uint8)
            if channels not in (1, 3):
                scale = np.ones(
                    (-(-height // _CELLS), -(-width // _CELLS), 1), np.uint8
                )
                np.save(file.with_suffix(".npy"), np.kron(cells, scale))
                continue
            image = Image.fromarray(cells.squeeze())
            image = image.resize((width, height), Image.Resampling.NEAREST)
            image.save(file, compress_level=1)
    settings = {"card": "image_folder", "root": str(folder), "held_out": HELD_OUT}
    return data_settings(settings | {"label_column": None, "test_share": None})
