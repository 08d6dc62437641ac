import numpy as np
import torch
from PIL import Image

from r2mae.masking.pattern import build_mask
from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import load_recipe
from r2mae.training.pictures import save_pictures
from tests.conftest import DEMO


def test_panels_show_what_they_should(tmp_path):
    model = build_model(load_recipe(str(DEMO))).eval()
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    is_masked = torch.zeros(2, 16, dtype=torch.bool)
    is_masked[:, :8] = True  # the upper half
    with torch.no_grad():
        assert save_pictures(
            model, {"images": images}, [build_mask(is_masked)], tmp_path / "p.png"
        )
    canvas = np.asarray(Image.open(tmp_path / "p.png"))
    zoom, cell = 12, 98
    for row in range(2):
        panels = [
            canvas[
                row * cell : row * cell + 96 : zoom, c * cell : c * cell + 96 : zoom, 0
            ]
            for c in range(3)
        ]
        original = images[row, 0].numpy()
        assert np.abs(panels[0].astype(int) - original).max() <= 1
        assert np.abs(panels[1][4:].astype(int) - original[4:]).max() <= 1
        assert np.ptp(panels[1][:4]) == 0
        assert np.abs(panels[2][4:].astype(int) - original[4:]).max() <= 1


def test_modalities_without_pictures_say_so(tmp_path):
    class Wordless:
        def paint(self, batch, mask):
            return None

    assert not save_pictures(Wordless(), {}, [None], tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []
