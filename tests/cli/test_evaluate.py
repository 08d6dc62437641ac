from argparse import ArgumentParser, Namespace

import pytest

from r2mae.cli.evaluate import (
    _check_hiding,
    _check_read_out,
    _plain,
    add_run_arguments,
)
from r2mae.errors import InputError
from r2mae.modalities import TASKS
from tests.cli.test_probe_table import row


def test_json_of_one_row_is_not_nested():
    one = _plain([row(5)], "knn")
    assert one["scores"]["pretrained"]["accuracy"] == 0.9
    assert one["labels_per_class"] == 5
    two = _plain([row(5), row("all")], "knn")
    assert two["labels_per_class"] == [5, "all"]
    assert [part["labels_per_class"] for part in two["rows"]] == [5, "all"]


def test_help_without_a_run_lists_the_tasks_of_each_modality():
    parser = ArgumentParser()
    add_run_arguments(parser, [])
    text = " ".join(parser.format_help().split())
    for name, tasks in TASKS.items():
        assert f"on {name}: {', '.join(tasks) or 'none'}" in text


def test_hidden_input_without_a_probe_is_refused():
    arguments = Namespace(hidden=(0.0, 0.5), hide_in_training=False)
    _check_hiding(["imputation", "knn"], arguments)
    with pytest.raises(InputError, match=r"--hidden must be given with a probe \(knn"):
        _check_hiding(["imputation"], arguments)


def test_a_pooling_for_probes_that_read_tokens_alone_is_refused():
    arguments = Namespace(layer="last", pool="concat")
    loaded = Namespace(wing=Namespace(tasks={}))
    _check_read_out(["knn", "attentive_probe"], loaded, arguments)
    with pytest.raises(InputError, match="which reads tokens, and --pool concat"):
        _check_read_out(["attentive_probe"], loaded, arguments)
