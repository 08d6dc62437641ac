"""`r2mae check` on recipes whose data is not on this machine; tests/cli/test_subcommands.py has the others."""

import json

from r2mae.cli.main import main


def test_classes_of_absent_data_are_unknown(scratch, capsys):
    setting = ["--set", "repeat.labels_per_class=[5,all]"]
    assert main(["check", "cifar10_finetune", *setting]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("classes      unknown") for line in lines)
    assert "5 labels per class (planned as for all labels)" in lines
    assert "all labels per class" in lines
    assert main(["check", "cifar10_finetune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] is None
