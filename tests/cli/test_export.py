"""`r2mae export` from a run to what other libraries load."""

import json

import pytest
import timm
import torch
from transformers import ViTMAEForPreTraining, ViTModel

from r2mae.cli.main import main
from r2mae.recipe import build_model, load_run
from r2mae.schema.recipe import load_recipe
from tests.conftest import DEMO, TINY, overrides


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("export"))
        assert main(["pretrain", str(DEMO), *overrides("schedule.steps=4"), "--name", "run"]) == 0
        yield load_run("runs/run")


@pytest.fixture
def batch():
    return {"images": torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)}


@torch.no_grad()
def test_timm(run, batch, tmp_path, capfd):
    capfd.readouterr()
    assert main(["export", "runs/run", "--to", "timm", str(tmp_path / "a" / "out"), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["checkpoint_step"] == 4
    assert told["largest_difference"] < 1e-6
    model = timm.create_model(f"local-dir:{told['output']}", pretrained=True).eval()
    assert (model(run.model.pixels(batch)) - run.model.embed(batch)).abs().max() < 1e-6
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


@torch.no_grad()
def test_transformers(run, batch, tmp_path, capfd):
    out = tmp_path / "out"
    out.mkdir()  # empty is as good as absent
    assert main(["export", "runs/run", "--to", "transformers", str(out)]) == 0
    assert "features differ by" in capfd.readouterr().out
    encoder = ViTModel.from_pretrained(out, add_pooling_layer=False).eval()
    features = encoder(run.model.pixels(batch)).last_hidden_state[:, 1:].mean(dim=1)
    assert (features - run.model.embed(batch)).abs().max() < 1e-6
    whole, found = ViTMAEForPreTraining.from_pretrained(out, output_loading_info=True)
    assert not any(found.values())
    assert whole.config.mask_ratio == pytest.approx(run.recipe.mask.law.mean())
    assert {path.name for path in out.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_the_card_says_what_the_checkpoint_says(run, tmp_path, library):
    assert main(["export", "runs/run", "--to", library, str(tmp_path / "out"), "--checkpoint", "step_4"]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    for fact in (
        f"library_name: {library}",
        "# run",
        "uniform: {low: 0.3, high: 0.8}",
        "embed_dim: 16",
        "1,797 scanned handwritten digits",
        "CC BY 4.0 (UCI)",
        "4 of 16 samples",
        f"{run.manifest['validation_loss']:.6g}",
        f"r2mae {run.manifest['versions']['r2mae']}",
        str(run.manifest["commit"]),
        "random weights",
    ):
        assert fact in card
    assert str(tmp_path) not in card
    assert str(run.folder.path.resolve().parent) not in card


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_init_from_reads_it_back(run, tmp_path, library):
    out = tmp_path / "out"
    assert main(["export", "runs/run", "--to", library, str(out)]) == 0
    model = build_model(load_recipe(str(DEMO), [*TINY, f"model.init_from={out}"]))
    trained = run.model.state_dict()
    for name, tensor in model.state_dict().items():
        if library == "transformers" or name.startswith("encoder."):
            assert torch.equal(tensor, trained[name]), name


def test_what_lies_there_is_left_alone(run, tmp_path, capfd):
    (tmp_path / "thesis.tex").write_text("x")
    for folder in (tmp_path, tmp_path / "thesis.tex"):
        capfd.readouterr()
        assert main(["export", "runs/run", "--to", "timm", str(folder)]) == 2
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "must be an absent or empty folder" in lines[0]
        assert "Name another folder." in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_half_written_stays(run, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("r2mae.interop.export_timm.save_file", fail)
    assert main(["export", "runs/run", "--to", "timm", str(tmp_path / "out")]) == 2
    assert list(tmp_path.iterdir()) == []
