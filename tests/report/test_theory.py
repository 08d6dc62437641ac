"""The theory's prediction in the report of a run: computed once, stored, and drawn."""

import json
import shutil

import numpy as np
import pytest
import yaml

from r2mae.advice.ratio_risks import RatioRisks
from r2mae.cli.main import main
from r2mae.report.theory import fit_line
from tests.conftest import DEMO, overrides
from tests.report.test_report import RATIOS, write_run

TITLE = "Held-out loss over mask ratio, and the theory"


def test_a_prediction_is_stored_and_shown_by_later_reports(scratch):
    settings = overrides("schedule.steps=4")
    assert main(["pretrain", str(DEMO), "--name", "a", *settings]) == 0
    report = ["report", "runs/a", "--no-pictures"]
    assert main(report) == 0
    assert TITLE not in (scratch / "runs/a/report.html").read_text()
    assert main([*report, "--theory"]) == 0
    first = (scratch / "runs/a/report.html").read_text()
    assert main(report) == 0
    assert (scratch / "runs/a/report.html").read_text() == first
    assert TITLE in first
    stored = json.loads((scratch / "runs/a/theory_over_ratios.json").read_text())
    assert all(0 < risk < 2 for risk in RatioRisks(**stored).own_maps)


def store(folder, **changed):
    predicted = {"ratios": RATIOS, "one_map": [0.1, 0.2, 0.4], "own_maps": [3, 2, 1]}
    content = predicted | {"num_rows": 50, "num_features": 7} | changed
    (folder / "theory_over_ratios.json").write_text(json.dumps(content))


def test_the_caption_has_size_rank_correlation_and_distance(scratch):
    run = write_run(scratch / "one")  # losses 1.025, 1.05 and 1.075 at step 10
    store(scratch / "one")
    assert main(["report", run, "--no-pictures"]) == 0
    page = (scratch / "one/report.html").read_text()
    assert "N = 50, d = 7" in page
    assert "one linear map for all ratios: Kendall&#x27;s tau +1.00" in page
    # Falls where the losses rise: a flat line, half the range away from both ends.
    text = "a linear map for each ratio: Kendall&#x27;s tau -1.00, within 0.025 of the losses"
    assert f"{text}, which span 0.05" in page


@pytest.mark.parametrize(
    "changed",
    [
        {"ratios": [0.1, 0.5, 0.9]},
        {"one_map": None},
        {"one_map": [0.1]},
        {"own_maps": ["a", "b", "c"]},
        {"own_maps": [0.1, float("nan"), 0.3]},
        {"num_rows": "many"},
        {"another": 1, "num_features": None},
    ],
    ids=str,
)
def test_another_prediction_is_refused(scratch, capsys, changed):
    run = write_run(scratch / "one")
    store(scratch / "one", **changed)
    assert main(["report", run, "--no-pictures"]) == 2
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "theory_over_ratios.json" in printed
    assert "--theory" in printed
    assert not (scratch / "one/report.html").exists()


def test_losses_that_are_not_finite_have_no_theory(scratch, capsys):
    run = write_run(scratch / "one")
    path = scratch / "one/metrics.csv"
    row = f"10,validation/loss_at_{RATIOS[1]:g},"
    rows = [
        f"{row}nan" if each.startswith(row) else each
        for each in path.read_text().splitlines()
    ]
    path.write_text("\n".join(rows) + "\n")
    assert main(["report", run, "--no-pictures", "--theory"]) == 2
    printed = capsys.readouterr().err
    assert "--theory must have runs with finite held-out losses, got one" in printed
    store(scratch / "one")  # from before
    assert main(["report", run, "--no-pictures"]) == 0
    page = (scratch / "one/report.html").read_text()
    assert "one: held-out losses are not finite." in page


def test_nothing_is_stored_where_one_of_several_runs_has_no_theory(scratch, capsys):
    settings = overrides("schedule.steps=4")
    assert main(["pretrain", str(DEMO), "--name", "a", *settings]) == 0
    shutil.copytree("runs/a", "runs/b")
    recipe = scratch / "runs/b/recipe.yaml"
    changed = yaml.safe_load(recipe.read_text())
    changed["mask"]["schedule"] = {"linear": {"to": {"fixed": {"ratio": 0.5}}}}
    recipe.write_text(yaml.safe_dump(changed))
    capsys.readouterr()
    assert main(["report", "runs/a", "runs/b", "--no-pictures", "--theory"]) == 2
    assert "b: mask.schedule must be null for the theory" in capsys.readouterr().err
    assert not list(scratch.glob("runs/*/theory_over_ratios.json"))


def test_a_run_without_held_out_ratios_has_no_theory(scratch, capsys):
    run = write_run(scratch / "tuned", task="finetune")
    path = scratch / "tuned/metrics.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(row for row in rows if "loss_at" not in row) + "\n")
    assert main(["report", run, "--no-pictures", "--theory"]) == 2
    assert "--theory must have runs with held-out losses" in capsys.readouterr().err


@pytest.mark.parametrize("slope", [2.0, 0.5])
def test_fit_line_recovers_a_line_and_never_falls(slope):
    predicted = [0.3, 0.5, 0.9, 0.4]
    measured = [1 + slope * risk for risk in predicted]
    np.testing.assert_allclose(fit_line(predicted, measured), measured)
    falling = [1 - slope * risk for risk in predicted]
    np.testing.assert_allclose(fit_line(predicted, falling), np.mean(falling))
    np.testing.assert_allclose(fit_line([1, 1, 1, 1], measured), np.mean(measured))
