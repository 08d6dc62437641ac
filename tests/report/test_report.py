"""Reports and comparisons of run folders, real ones and incomplete ones."""

import json

import pytest
import yaml

from r2mae.cli.main import main
from r2mae.report.figures import thin
from r2mae.report.record import read_records
from tests.conftest import DEMO, overrides

RATIOS = (0.25, 0.5, 0.75)


def write_run(folder, *, seed=0, ratio=0.5, loss=1.0, steps=10, task="pretrain"):
    """A run folder as training writes it, without a checkpoint."""
    folder.mkdir(parents=True)
    mask = {"ratio": {"fixed": {"ratio": ratio}}, "scope": "step"}
    recipe = {"task": task, "modality": "vision", "seed": seed, "mask": mask}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    status = {"status": "running", "steps": steps, "versions": {"torch": "2"}}
    (folder / "run.json").write_text(json.dumps(status))
    rows = ["step,metric,value"]
    for step in range(1, steps + 1):
        rows += [f"{step},train/loss,{loss}", f"{step},train/samples_per_second,100"]
        if step % max(1, steps // 10) == 0:
            rows += [f"{step},validation/loss_at_{r},{loss + r / step}" for r in RATIOS]
            rows += [f"{step},validation/loss,{loss}", f"{step},probe/knn,0.5"]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    return str(folder)


def test_report_of_a_trained_run_has_surface_fingerprints_and_slider(scratch):
    assert (
        main(["pretrain", str(DEMO), "--name", "a", *overrides("schedule.steps=4")])
        == 0
    )
    assert main(["report", "runs/a"]) == 0
    page = (scratch / "runs/a/report.html").read_text()
    manifest = json.loads(
        (scratch / "runs/a/checkpoints/step_4/manifest.json").read_text()
    )
    assert manifest["data"]["fingerprint"] in page
    assert "Held-out loss over mask ratio and step" in page
    assert page.count('class="frame"') == 9
    assert page.count("data:image/png;base64") >= 9
    assert "No pictures" not in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")


def test_report_without_a_checkpoint_says_so_in_one_line_of_the_page(scratch):
    run = write_run(scratch / "young")
    assert main(["report", run, "-o", "page.html"]) == 0
    assert "No pictures: " in (scratch / "page.html").read_text()


def test_report_of_10000_steps_is_small(scratch):
    run = write_run(scratch / "long", steps=10_000)
    assert main(["report", run, "-o", "page.html", "--no-pictures"]) == 0
    assert (scratch / "page.html").stat().st_size < 3e6
    steps, values = thin(read_records([run])[0].curves["train/loss"])
    assert len(steps) <= 300
    assert values[0] == 1.0


@pytest.mark.parametrize("command", ["report", "compare"])
def test_folders_that_cannot_be_read_are_one_line(scratch, command, capsys):
    empty, started = scratch / "empty", scratch / "started"
    empty.mkdir()
    write_run(started)
    (started / "metrics.csv").write_text("step,metric,value\n1,train/lo")
    damaged = scratch / "damaged"
    write_run(damaged)
    (damaged / "run.json").write_text("{")
    odd = scratch / "odd"
    write_run(odd)
    with (odd / "metrics.csv").open("a") as file:
        file.write("10,validation/loss_at_half,1.0\n")
    old, typed = scratch / "typed/old", scratch / "typed/status"
    write_run(old)
    recipe = yaml.safe_load((old / "recipe.yaml").read_text()) | {"seed": [0]}
    (old / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    write_run(typed)
    (typed / "run.json").write_text(json.dumps({"versions": None}))
    for run in (empty, started, damaged, odd, old, typed):
        assert main([command, str(run)]) == 2
        printed = capsys.readouterr()
        assert len(printed.err.strip().splitlines()) == 1
    assert main([command, write_run(scratch / "one"), str(scratch / "one")]) == 2


def test_an_old_folder_without_run_json_is_reported(scratch):
    run = write_run(scratch / "old")
    (scratch / "old/run.json").unlink()
    assert main(["report", run, "--no-pictures"]) == 0
