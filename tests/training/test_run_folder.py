import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder, flatten, open_run
from tests.conftest import DEMO


def document(*settings):
    return recipe_document(load_recipe(str(DEMO), list(settings)))


@pytest.mark.parametrize(
    "setting", ["hardware.workers=3", "batch.per_device_samples=32", "log=[csv, wandb]"]
)
def test_where_it_runs_may_change(tmp_path, setting):
    RunFolder(tmp_path / "run").start(document())
    RunFolder(tmp_path / "run").check(document(setting), "recipe.yaml")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("seed=1", "seed"),
        ("batch.global_samples=256", "batch.global_samples"),
        ("mask.ratio={fixed: {ratio: 0.75}}", "mask.ratio.fixed.ratio"),
        ("optimizer.weight_decay=0.1", "optimizer.weight_decay"),
    ],
)
def test_what_is_learnt_may_not(tmp_path, setting, key):
    folder = RunFolder(tmp_path / "run")
    folder.start(document())
    written = folder.recipe.read_text()
    with pytest.raises(InputError, match=f"^recipe.yaml: {key} must be ") as caught:
        folder.check(document(setting), "recipe.yaml")
    assert "--fresh" in str(caught.value)
    assert folder.recipe.read_text() == written


@pytest.mark.parametrize(
    "setting",
    [
        "mask.ratio={fixed: {ratio: 0.75}}",
        "mask.scope=sample",
        "mask.levels=4",
        "mask.pattern=block",
    ],
)
def test_another_law_is_refused_with_the_way_to_it(tmp_path, setting):
    folder = RunFolder(tmp_path / "run")
    folder.start(document())
    with pytest.raises(InputError, match="^recipe.yaml: mask.") as caught:
        folder.check(document(setting), "recipe.yaml")
    message = str(caught.value)
    assert f"another --name and --set model.init_from={folder.path}" in message
    assert "\n" not in message
    with pytest.raises(InputError) as caught:
        folder.check(document("seed=1"), "recipe.yaml")
    assert "init_from" not in str(caught.value)


def test_other_peoples_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="must be a run folder or absent"):
        RunFolder(tmp_path).check(document(), "recipe.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_fresh_starts_beside(tmp_path):
    for expected in (["run.1"], ["run.1", "run.2"]):
        folder = RunFolder(tmp_path / "run")
        folder.start(document())
        folder.set_aside()
        assert sorted(path.name for path in tmp_path.iterdir()) == expected


def test_pointer_to_a_deleted_checkpoint_falls_back(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(document())
    assert folder.pointer("last") is None
    for step in (5, 10):
        (folder.checkpoints / f"step_{step}").mkdir()
    folder.point("last", folder.checkpoints / "step_12")
    assert folder.pointer("last").name == "step_10"
    folder.point("best", folder.checkpoints / "step_8")
    assert folder.pointer("best") is None  # the newest one may be far worse
    folder.point("best", folder.checkpoints / "step_5")
    assert folder.pointer("best").name == "step_5"


def test_open_run_refuses_what_is_none(tmp_path):
    with pytest.raises(InputError, match="must be a run folder"):
        open_run(str(tmp_path))
    RunFolder(tmp_path / "run").start(document())
    with pytest.raises(InputError, match="must hold a checkpoint"):
        open_run(str(tmp_path / "run"))


def test_status_merges(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_status(step=1, status="running")
    folder.write_status(step=2)
    assert folder.read_status()["step"] == 2
    assert folder.read_status()["status"] == "running"


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": None,
    }


def test_one_command_at_a_time(tmp_path):
    folder = RunFolder(tmp_path / "table" / "run")
    folder.start(document())
    again = (
        "import sys\nfrom r2mae.errors import InputError\nfrom r2mae.training.run_folder import RunFolder\n"
        "try:\n    {}\nexcept InputError as error:\n    sys.exit(str(error))\n"
    )

    def ask(call):
        done = subprocess.run(
            [sys.executable, "-c", again.format(call)], capture_output=True, text=True
        )
        return done.returncode, done.stderr.strip()

    for call in (
        f"RunFolder({str(folder.path)!r}).lock()",
        f"RunFolder({str(folder.path.parent)!r}).set_aside()",
    ):
        code, said = ask(call)
        assert code == 1
        assert "must be trained by one command at a time" in said
    assert folder.path.is_dir()
    folder.start(document())  # the same process may
    del folder
    assert ask(f"RunFolder({str(tmp_path / 'table' / 'run')!r}).lock()") == (0, "")


def test_threads_write_its_status_together(tmp_path):
    """As the thread that saves checkpoints and the one that trains do: nothing half-written, nothing lost."""
    folder = RunFolder(tmp_path)

    def write(name):
        for number in range(100):
            folder.write_status(**{f"{name}_{number}": number})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert {
        key: value for key, value in folder.read_status().items() if key != "updated"
    } == {f"{name}_{number}": number for name in "abcd" for number in range(100)}


def test_a_folder_is_locked_while_its_run_is_built(tmp_path):
    path = tmp_path / "runs" / "run"
    folder = RunFolder(path)
    again = (
        "import sys\nfrom r2mae.errors import InputError\n"
        "from r2mae.training.run_folder import RunFolder\n"
        f"folder = RunFolder({str(path)!r})\nfolder.check({{}}, 'test')\n"
        "try:\n    folder.lock()\nexcept InputError as error:\n    sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", again]
    with folder.reserve():
        done = subprocess.run(command, capture_output=True, text=True)
        assert "must be trained by one command at a time" in done.stderr
    folder.start(document())


def test_a_run_that_could_not_be_built_leaves_nothing(tmp_path):
    path = tmp_path / "runs" / "run"
    with pytest.raises(ZeroDivisionError), RunFolder(path).reserve():
        raise ZeroDivisionError
    assert not path.parent.exists()
    RunFolder(path).start(document())  # one that is there stays
    with pytest.raises(ZeroDivisionError), RunFolder(path).reserve():
        raise ZeroDivisionError
    assert RunFolder(path).exists


def test_a_fresh_run_locks_its_own_folder(tmp_path):
    path = tmp_path / "run"
    RunFolder(path).start(document())
    folder = RunFolder(path)
    with folder.reserve():
        pass
    folder.set_aside()
    folder.start(document())
    code = f"from r2mae.training.run_folder import RunFolder; RunFolder({str(path)!r}).lock()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "must be trained by one command at a time" in done.stderr
