"""`import r2mae`: pretrain with callbacks, load, embed images; what it imports."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import r2mae
from r2mae.data.source import load_plain

SETTINGS = {
    "seed": 3,
    "schedule": {"steps": 4, "warmup_steps": 1},
    "watch": {"every_steps": 4, "samples": 40, "linear_probe": False},
    "checkpoint": {"every_steps": 4},
    "model": {"width": 16, "depth": 1, "heads": 2},
}


class Record(r2mae.Callback):
    def __init__(self):
        self.calls = []

    def on_train_start(self, engine):
        self.calls.append(("start", engine.steps_done))

    def on_step_end(self, engine, report):
        assert report.step == engine.steps_done
        self.calls.append((report.step, float(report.loss)))

    def on_train_end(self, engine):
        self.calls.append(("end", engine.steps_done))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, run, callback) of a short pretraining on digits."""
    folder, record = tmp_path_factory.mktemp("api"), Record()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = r2mae.pretrain("digits_demo", name="run", callbacks=[record], **SETTINGS)
    return folder, run, record


def test_pretrain_gives_the_loaded_run(trained):
    _, run, record = trained
    assert run.recipe.seed == 3
    assert run.manifest["step"] == 4
    # A mapping is merged into its section: the recipe's own keys stay.
    assert (run.recipe.model.width, run.recipe.model.patch_size) == (16, 2)
    assert [what for what, _ in record.calls] == ["start", 1, 2, 3, 4, "end"]
    assert all(np.isfinite(loss) for _, loss in record.calls)


def test_a_run_is_shown_in_one_line(trained):
    _, run, _ = trained
    count = sum(tensor.numel() for tensor in run.model.parameters())
    assert repr(run) == (
        f"<run runs/run: vision, pretrain, step 4, {count:,} parameters>"
    )


def test_a_recipe_may_be_a_mapping(scratch, trained):
    folder = trained[0]
    document = yaml.safe_load((folder / "runs" / "run" / "recipe.yaml").read_text())
    with pytest.raises(r2mae.InputError, match="^name must be given for a recipe"):
        r2mae.pretrain(document)
    again = r2mae.pretrain(document, name="again", seed=4, schedule={"steps": 2})
    assert (again.recipe.seed, again.manifest["step"]) == (4, 2)


def test_several_devices_need_a_launcher(scratch):
    with pytest.raises(r2mae.InputError, match="must be 1 without a launcher, got 2"):
        r2mae.pretrain("digits_demo", hardware={"devices": 2})


def test_load_is_the_run_that_was_trained(trained, monkeypatch):
    folder, run, _ = trained
    monkeypatch.chdir(folder)
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8)
    features = r2mae.load("runs/run").embed(list(images))
    assert features.shape == (3, run.model.width)
    assert features.dtype == np.float32
    assert np.array_equal(features, run.embed(list(images)))


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3), (8, 8, 4), (17, 23, 1)])
def test_images_in_memory_are_read_as_their_files_are(trained, scratch, shape):
    run = trained[1]
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    picture = Image.fromarray(image[:, :, 0] if shape[-1] == 1 else image)
    picture.save("image.png")
    source = run.wing.open_paths(run.recipe, ["image.png"], None)
    pixels = load_plain(source, np_index(1), run.device)["images"]
    for objects in (image, [image], picture, [picture, picture]):
        opened = run.wing.open_objects(run.recipe, objects)
        batch = load_plain(opened, np_index(len(opened)), run.device)
        assert all((one == pixels[0]).all() for one in batch["images"])
    assert run.embed(np.stack([image] * 2)).shape[0] == 2


def np_index(count):
    import torch

    return torch.arange(count)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("photo.png", "must be a list of PIL images or uint8 arrays, got str"),
        ({"a": np.zeros((8, 8), np.uint8)}, "must be a list of PIL images .* got dict"),
        (np.zeros((3, 8, 8), np.uint8), r"\(N, H, W, C\), got \(3, 8, 8\), which"),
        ([Image.new("L", (0, 5))], "image 0 must be .* got one without pixels"),
        (["photo.png"], "image 0 must be a PIL image or a uint8 array .* got str"),
        (np.zeros((2, 8, 8, 3)), "image 0 must be .* got float64"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"image 0 must be .* got uint8 \(3, 8, 8\)"),
        ([], "must be a list of PIL images .* got an empty one"),
        (np.zeros((0, 8, 8, 1), np.uint8), "got an empty one"),
    ],
)
def test_other_objects_are_refused(trained, objects, message):
    with pytest.raises(r2mae.InputError, match=message):
        trained[1].embed(objects)


def test_a_closed_image_is_refused(trained, scratch):
    Image.new("L", (8, 8)).save("image.png")
    image = Image.open("image.png")
    image.close()
    with pytest.raises(r2mae.InputError, match="image 0 must be open, got: Operation"):
        trained[1].embed(image)


@pytest.mark.parametrize("size", [0, -1, 1.5, "a", None])
def test_batch_size_is_a_whole_number_from_1(trained, size):
    image = np.zeros((8, 8), np.uint8)
    with pytest.raises(r2mae.InputError, match="batch_size must be a whole number"):
        trained[1].embed(image, batch_size=size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "--name must be a plain folder name, got ''"),
        ({"name": 3}, "--name must be a plain folder name, got 3"),
        ({"name": "a\0b"}, "--name must be a plain folder name"),
        ({"callbacks": 3}, "callbacks must be a list .* got int"),
        ({"callbacks": [3]}, "callbacks must be a list .* got int"),
        ({"callbacks": Record()}, "callbacks must be a list .* got Record"),
        ({"callbacks": [Record]}, "callbacks must be a list .* got Record"),
        ({"model": object()}, "digits_demo: a value must be plain data, got object"),
        ({"log": {"csv"}}, "digits_demo: a value must be plain data, got set"),
    ],
)
def test_pretrain_refuses_other_types(scratch, arguments, message):
    with pytest.raises(r2mae.InputError, match=message):
        r2mae.pretrain("digits_demo", **(SETTINGS | arguments))
    assert not (scratch / "runs").exists()


def test_paths_and_numpy_scalars_are_values(scratch):
    law = {"fixed": {"ratio": np.float32(0.5)}}
    values = {"seed": np.int64(3), "data": {"root": scratch}}
    with pytest.raises(
        r2mae.InputError, match="mask.scope must be 'step', 'sample' or 'str"
    ):
        r2mae.pretrain("digits_demo", mask={"ratio": law, "scope": "no"}, **values)


def test_a_wing_that_reads_files_only_says_so(trained):
    from r2mae.wing import Wing

    run = trained[1]
    with pytest.raises(
        r2mae.InputError, match="files only, got list. Run: r2mae embed"
    ):
        Wing.open_objects(run.wing, run.recipe, [])


def test_importing_r2mae_imports_no_torch():
    code = "import sys, r2mae; dir(r2mae); print('torch' in sys.modules, len(sys.modules) < 200)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        r2mae.lod  # noqa: B018


def test_types_are_shipped():
    from importlib.resources import files

    assert (files("r2mae") / "py.typed").is_file()
    assert all(hasattr(r2mae, name) for name in r2mae.__all__)


def test_issue_19_5_prepare_gives_the_batch_of_the_model(trained, scratch):
    import torch

    run = trained[1]
    image = np.random.default_rng(0).integers(0, 255, (20, 31, 3), dtype=np.uint8)
    batch = run.prepare([Image.fromarray(image), image])
    assert batch["images"].shape == (2, 1, 8, 8)
    assert batch["images"].dtype == torch.uint8
    with torch.no_grad():
        features = run.model.embed(batch)
    assert np.array_equal(features.numpy(), run.embed([image, image]))


@pytest.mark.parametrize("kind", ["float32", "float16", "int64"])
def test_issue_19_5_floats_are_refused_not_misread(trained, kind):
    import torch

    run = trained[1]
    images = torch.rand(2, 1, 8, 8).to(getattr(torch, kind))
    message = f"^images of a batch must be uint8, 0 to 255, got {kind}. Make the batch"
    with pytest.raises(r2mae.InputError, match=message):
        run.model.embed({"images": images})
    with pytest.raises(r2mae.InputError, match="Convert it to 0 to 255"):
        run.embed(np.zeros((8, 8), dtype=kind))
