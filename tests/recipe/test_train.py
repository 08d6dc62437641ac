"""What `pretrain` does with a run folder that exists."""

import json

import pytest
import yaml

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.recipe.train import check_run
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder
from tests.conftest import DEMO, ROOT, overrides

TUNED = ROOT / "recipes" / "vision" / "digits_finetune.yaml"


def test_a_run_from_before_a_key_existed_continues(scratch, capsys):
    assert main(["pretrain", str(DEMO), *overrides("schedule.steps=3")]) == 0
    file = scratch / "runs/digits_demo/recipe.yaml"
    stored = yaml.safe_load(file.read_text())
    del stored["mask"]["weight"]
    file.write_text(yaml.safe_dump(stored))
    assert main(["pretrain", str(DEMO), *overrides("schedule.steps=3")]) == 0
    changed = overrides("schedule.steps=3", "mask.weight=sample")
    assert main(["pretrain", str(DEMO), *changed]) == 2
    message = 'mask.weight must be "token" to continue runs/digits_demo, got "sample"'
    assert message in capsys.readouterr().err


def test_a_run_killed_after_its_last_checkpoint_ends_with_its_metrics(scratch):
    command = ["pretrain", str(DEMO), *overrides("schedule.steps=3"), "--name", "run"]
    assert main(command) == 0
    folder = RunFolder("runs/run")
    finished, rows = folder.read_status(), folder.metrics.read_text()
    assert finished["metrics"]["validation/loss"] > 0
    left = {key: finished[key] for key in finished if key not in ("step", "metrics")}
    (folder.path / "run.json").write_text(json.dumps(left | {"status": "running"}))
    assert main(command) == 0
    again = folder.read_status()
    for key in ("status", "step", "metrics", "skipped_samples"):
        assert again[key] == finished[key]
    assert folder.metrics.read_text() == rows


def test_a_key_that_became_a_section_shows_the_section(tmp_path):
    run_folder = RunFolder(tmp_path / "run")
    ordered = load_recipe(str(TUNED), ["tune.target={ordinal: {order: [a, b]}}"])
    run_folder.start(recipe_document(ordered))
    message = r'target must be {"ordinal": {"order": \["a", "b"\]}} .*, got "classes"'
    with pytest.raises(InputError, match=message):
        check_run(load_recipe(str(TUNED)), run_folder, "recipe.yaml")


def test_a_run_with_a_key_that_is_no_more_says_what_the_key_is_now(tmp_path):
    run_folder = RunFolder(tmp_path / "run")
    recipe = load_recipe(str(TUNED), ["tune.target=ordinal"])
    document = recipe_document(recipe)
    del document["tune"]["target"]
    run_folder.start(document | {"tune": document["tune"] | {"ordinal": True}})
    with pytest.raises(InputError) as error:
        check_run(recipe, run_folder, "recipe.yaml")
    assert str(error.value).startswith(
        f"{run_folder.recipe}: tune.ordinal is now tune.target: ordinal."
    )
    assert str(error.value).endswith("--fresh to start over beside it.")
