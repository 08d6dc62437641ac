import numpy as np
import torch
from PIL import Image

from r2mae.masking.mask import build_mask
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


def test_issue_19_4_captions_have_ratios_and_what_was_interpolated(
    tmp_path, monkeypatch
):
    from PIL import ImageDraw

    texts = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda _, place, text, *rest: texts.append(text)
    )
    normalised = load_recipe(str(DEMO), ["model.normalize_targets=true"])
    model = build_model(normalised).eval()
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    masks = []
    for count in (4, 12):
        is_masked = torch.zeros(2, 16, dtype=torch.bool)
        is_masked[:, :count] = True
        masks.append(build_mask(is_masked))
    with torch.no_grad():
        save_pictures(model, {"images": images}, masks, tmp_path / "p.png")
        size = Image.open(tmp_path / "p.png").size
        assert texts[:3] == ["original", "25% masked", "25% predicted"]
        assert texts[3:5] == ["75% masked", "75% predicted"]
        assert "interpolated from visible patches." in " ".join(texts[5:])
        texts.clear()
        model.normalize_targets = False
        save_pictures(model, {"images": images}, masks, tmp_path / "q.png")
    assert len(texts) == 5
    assert Image.open(tmp_path / "q.png").height < size[1]
