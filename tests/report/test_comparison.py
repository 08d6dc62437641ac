"""Final values of runs, compared by seed."""

import json
import math

import pytest

from r2mae.cli.main import main
from r2mae.report.comparison import differing_keys, paired_differences
from r2mae.report.record import read_records
from tests.report.test_report import write_run


def test_differences_are_paired_by_seed(scratch):
    losses = {(0.5, 0): 1.0, (0.5, 1): 2.0, (0.75, 0): 1.1, (0.75, 1): 2.3}
    runs = [
        write_run(scratch / f"r{ratio}_{seed}", seed=seed, ratio=ratio, loss=loss)
        for (ratio, seed), loss in losses.items()
    ]
    records = read_records(runs)
    rows, left_out = paired_differences(records)
    assert left_out == ""
    (row,) = [row for row in rows if row.metric == "validation loss"]
    assert row.seeds == [0, 1]
    assert row.difference == pytest.approx(0.2)
    assert row.half_width == pytest.approx(12.706 * 0.1, rel=1e-3)  # t of 1 degree
    assert set(differing_keys(records)) == {"mask.ratio.fixed.ratio", "seed"}


def test_runs_without_a_common_seed_are_not_compared(scratch, capsys):
    one = write_run(scratch / "one", seed=0, ratio=0.5)
    two = write_run(scratch / "two", seed=1, ratio=0.75)
    assert main(["compare", one, two, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["paired_differences"] == []
    assert "two" in result["not_compared"]
    assert result["runs"][0]["numbers"]["samples/s"] == 100
    assert result["runs"][1]["law"] == "fixed (ratio 0.75)"


def test_a_run_that_is_left_out_is_named_once(scratch):
    one = write_run(scratch / "one", seed=0, ratio=0.5)
    two = write_run(scratch / "two", seed=1, ratio=0.75, loss=math.nan)
    three = write_run(scratch / "three", seed=0, ratio=0.75, loss=math.nan)
    _, left_out = paired_differences(read_records([one, two]))
    assert left_out.count("two") == 1
    _, left_out = paired_differences(read_records([one, two, three]))
    assert "values of two, three that are not finite" in left_out


def test_losses_of_pretraining_and_fine_tuning_are_not_compared(scratch):
    runs = [write_run(scratch / task, task=task) for task in ("pretrain", "finetune")]
    rows, left_out = paired_differences(read_records(runs))
    assert rows == []
    assert "Not compared: finetune" in left_out
