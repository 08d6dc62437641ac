"""Tables of several runs on the terminal."""

import json
import math

import pytest

from r2mae.cli.compare import print_table
from r2mae.cli.main import main
from tests.report.test_report import write_run


def compare(capsys, *runs):
    assert main(["compare", *runs]) == 0
    return capsys.readouterr().out


def test_columns_are_runs_and_what_differs_follows(scratch, capsys):
    losses = {(0.5, 0): 1.0, (0.5, 1): 2.0, (0.75, 0): 1.1, (0.75, 1): 2.3}
    runs = [
        write_run(scratch / f"r{ratio}_{seed}", seed=seed, ratio=ratio, loss=loss)
        for (ratio, seed), loss in losses.items()
    ]
    printed = compare(capsys, *runs)
    table = printed.partition("final values minus")[0]
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert rows["seed"][1:] == ["0", "1", "0", "1"]
    assert rows["validation loss"][2:] == ["1", "2", "1.1", "2.3"]
    assert "mask.ratio.fixed.ratio" in rows
    # 0.1 and 0.3 over two seeds.
    (difference,) = [
        line
        for line in printed.splitlines()
        if line.startswith("validation loss  ") and "+" in line
    ]
    assert difference.split()[-3:-1] == ["+0.2000", "±"]


def test_values_that_are_not_finite_are_left_out_of_differences(scratch, capsys):
    losses = {(0.5, 0): 1.0, (0.5, 1): 2.0, (0.75, 0): 1.25, (0.75, 1): math.nan}
    runs = [
        write_run(scratch / f"r{ratio}_{seed}", seed=seed, ratio=ratio, loss=loss)
        for (ratio, seed), loss in losses.items()
    ]
    printed = compare(capsys, *runs)
    assert "Not compared: values of r0.75_1 that are not finite." in printed
    result = json.loads(compare(capsys, *runs, "--json"), parse_constant=pytest.fail)
    numbers = [run["numbers"]["validation loss"] for run in result["runs"]]
    assert numbers == [1, 2, 1.25, None]
    rows = {row["metric"]: row for row in result["paired_differences"]}
    assert rows["validation loss"]["seeds"] == [0]
    assert rows["validation loss"]["difference"] == 0.25
    (probe,) = [rows[name] for name in rows if "kNN" in name]
    assert probe["seeds"] == [0, 1]


def test_a_number_that_one_run_lacks_is_a_dash(scratch, capsys):
    one, two = write_run(scratch / "one"), write_run(scratch / "two", seed=1)
    path = scratch / "two/metrics.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "probe/knn" not in line) + "\n")
    (probe,) = [
        line for line in compare(capsys, one, two).splitlines() if "kNN" in line
    ]
    assert probe.split()[-2:] == ["0.5", "-"]


def test_a_table_is_as_wide_as_its_widest_cells(capsys):
    print_table(["", "b"], [["long name", "1"], ["x", "22"]])
    assert capsys.readouterr().out == "           b\nlong name  1\nx          22\n"
