"""Fine-tuning that is interrupted and continued."""

from pathlib import Path

import pytest

from r2mae.cli.main import main
from r2mae.training.run_folder import RunFolder
from tests.modalities.cell.test_cli import said
from tests.training.runs import metric


def check_continues(capsys, objective, recipe, options):
    """Interrupted at step 30 and continued, a run has the losses of one that was not.

    objective: the class whose `prepare` is interrupted.
    """
    prepare = objective.prepare

    def stop(self, batch, step):
        if step == 30:
            raise KeyboardInterrupt
        return prepare(self, batch, step)

    said(capsys, "finetune", recipe, "--name", "whole", *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "prepare", stop)
        assert main(["finetune", str(recipe), "--name", "cut", *options]) == 130
    folders = {
        name: RunFolder(f"runs/{name}/labels_all/seed_0") for name in ("cut", "whole")
    }
    assert folders["cut"].pointer("last") is not None
    assert not Path("runs/cut/scores.json").exists()
    said(capsys, "finetune", recipe, "--name", "cut", *options)
    cut, whole = (metric(folder, "train/loss") for folder in folders.values())
    assert cut == whole != {}
