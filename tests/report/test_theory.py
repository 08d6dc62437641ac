"""The theory's prediction in the report of a run: computed once, stored, and drawn."""

import json

import numpy as np
import pytest

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


def store(folder, *, ratios=RATIOS, one_map=(0.1, 0.2, 0.4), own_maps=(3, 2, 1)):
    predicted = {"ratios": ratios, "one_map": one_map, "own_maps": own_maps}
    content = predicted | {"num_rows": 50, "num_features": 7}
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


def test_a_prediction_for_other_ratios_is_refused(scratch, capsys):
    run = write_run(scratch / "one")
    store(scratch / "one", ratios=[0.1, 0.5, 0.9])
    assert main(["report", run, "--no-pictures"]) == 2
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "theory_over_ratios.json" in printed
    assert "--theory" in printed


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
