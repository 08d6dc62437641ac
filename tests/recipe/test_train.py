"""What `pretrain` does with a run folder that exists."""

import yaml

from r2mae.cli.main import main
from tests.conftest import DEMO, overrides


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
