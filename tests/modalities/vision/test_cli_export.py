"""`r2mae export` from a run to what other libraries load."""

import json
import shutil

import pytest
import timm
import torch
from huggingface_hub.errors import LocalTokenNotFoundError
from transformers import ViTMAEForPreTraining, ViTModel

from r2mae.cli.main import main
from r2mae.recipe.assembly import build_model
from r2mae.recipe.export import export_run
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from tests.conftest import DEMO, ROOT, TINY, overrides
from tests.training.runs import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("export"))
        assert (
            main(
                ["pretrain", str(DEMO), *overrides("schedule.steps=4"), "--name", "run"]
            )
            == 0
        )
        yield load_run("runs/run")


@pytest.fixture
def batch():
    return {"images": torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)}


@torch.no_grad()
def test_timm(run, batch, tmp_path, capfd):
    capfd.readouterr()
    assert (
        main(
            [
                "export",
                "runs/run",
                "--to",
                "timm",
                str(tmp_path / "a" / "out"),
                "--json",
            ]
        )
        == 0
    )
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
    assert "outputs differ by" in capfd.readouterr().out
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
    assert (
        main(
            [
                "export",
                "runs/run",
                "--to",
                library,
                str(tmp_path / "out"),
                "--checkpoint",
                "step_4",
            ]
        )
        == 0
    )
    card = (tmp_path / "out" / "README.md").read_text()
    for fact in (
        f"library_name: {library}",
        "# run",
        "uniform: {low: 0.3, high: 0.8}",
        "width: 16",
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
        assert "must be absent or empty" in lines[0]
        assert "Name another folder." in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_half_written_stays(run, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("r2mae.modalities.vision.interop.export_timm.save_file", fail)
    assert main(["export", "runs/run", "--to", "timm", str(tmp_path / "out")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_push_uploads_the_folder_to_the_hub(run, tmp_path, monkeypatch, capfd):
    hub = tmp_path / "hub"

    def create_repo(api, repo_id, *, exist_ok):
        assert exist_ok
        return f"https://hub.example/{repo_id}"

    def upload_folder(api, *, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, hub / repo_id)

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload_folder)
    out = tmp_path / "out"
    command = ["export", "runs/run", "--to", "timm", str(out), "--json"]
    assert main([*command, "--push", "someone/digits"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["pushed_to"] == "https://hub.example/someone/digits"
    uploaded = hub / "someone" / "digits"
    assert {path.name for path in uploaded.iterdir()} == {
        "README.md", "config.json", "model.safetensors",
    }  # fmt: skip
    assert timm.create_model(f"local-dir:{uploaded}", pretrained=True)


def test_a_hub_that_refuses_leaves_the_folder(run, tmp_path, monkeypatch, capfd):
    def refuse(api, *arguments, **named):
        raise LocalTokenNotFoundError("Token is required, but no token found.")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuse)
    out = tmp_path / "out"
    command = ["export", "runs/run", "--to", "timm", str(out), "--push"]
    assert main([*command, "not a name"]) == 2
    assert not out.exists()
    assert main([*command, "someone/digits"]) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert "someone/digits" in line
    assert "hf auth login" in line
    assert (out / "README.md").is_file()


def test_a_run_is_exported_to_torch_export_with_a_card(run, tmp_path):
    out = tmp_path / "out"
    assert main(["export", "runs/run", "--to", "torch_export", str(out)]) == 0
    card = (out / "README.md").read_text()
    assert "torch.export.load" in card
    assert f"fingerprint {run.manifest['data']['fingerprint']}" in card
    assert "held-out loss by mask ratio" in card
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "inputs.json", "model.pt2"}


BACKBONES = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    "swin_tiny_patch4_window7_224": {
        "depths": [1, 1],
        "num_heads": [2, 4],
        "embed_dim": 16,
        "window_size": 4,
    },
}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_whose_hidden_patches_have_a_size_of_their_own(scratch, name):
    model = f"model={{encoder: {name}, patch_size: 8, arguments: {json.dumps(BACKBONES[name])}}}"
    train(
        "run",
        model,
        "data.image_size=32",
        "schedule.steps=4",
        "watch={samples: 8, knn: false, linear_probe: false}",
    )
    assert export_run(load_run("runs/run"), "timm", scratch / "out") < 1e-6


def test_a_mixer_of_another_shape_has_no_entry_in_timm(scratch, capfd):
    model = "model={encoder: mixer_s16_224, patch_size: 4, arguments: {num_blocks: 1, embed_dim: 16, patch_size: 4}}"
    train(
        "run",
        model,
        "data.image_size=16",
        "schedule.steps=4",
        "watch={samples: 8, knn: false, linear_probe: false}",
    )
    assert main(["export", "runs/run", "--to", "timm", "out"]) == 2
    *_, line = capfd.readouterr().err.strip().splitlines()  # training said a few before
    assert "timm fixes its num_blocks, which the run has otherwise" in line


def test_a_fine_tuned_classifier_predicts_alike_in_timm(scratch):
    options = [
        "model.init_from=null",
        "model.width=16",
        "model.heads=2",
        "schedule={steps: 4}",
        "repeat.seeds=1",
    ]
    recipe = str(ROOT / "recipes" / "vision" / "digits_finetune.yaml")
    settings = [part for option in options for part in ("--set", option)]
    assert (
        main(
            [
                "finetune",
                recipe,
                *settings,
                "--labels-per-class",
                "3",
                "--name",
                "tuned",
            ]
        )
        == 0
    )
    assert main(["export", "runs/tuned/labels_3/seed_0", "--to", "timm", "out"]) == 0
    model = timm.create_model("local-dir:out", pretrained=True).eval()
    run = load_run("runs/tuned/labels_3/seed_0")
    batch = {"images": torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)}
    with torch.no_grad():
        torch.testing.assert_close(
            model(run.model.backbone.pixels(batch)),
            run.model(batch),
            rtol=1e-6,
            atol=1e-6,
        )
    assert model.pretrained_cfg["label_names"] == [str(digit) for digit in range(10)]
    card = (scratch / "out" / "README.md").read_text()
    assert "# tuned-labels_3-seed_0" in card
    assert "test accuracy" in card
    assert (
        main(["export", "runs/tuned/labels_3/seed_0", "--to", "transformers", "other"])
        == 2
    )
