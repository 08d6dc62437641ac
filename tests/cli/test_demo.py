"""`r2mae demo`: recipes are checked before any trains, and a probe becomes a part of a sentence."""

import pytest

from r2mae.cli.demo import conclude
from r2mae.cli.main import main
from tests.conftest import DEMO


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["digits_demo", "motifs_demo", "--name", "a"],
            "--name must be given with one",
        ),
        (["digits_demo", "vision/digits_demo"], "got digits_demo twice"),
        (["digits_demo", "Digits_Demo.yaml"], "got digits_demo twice"),
        (["digits_demo", "no_such_recipe"], "no_such_recipe"),
        (["digits_demo", "digits_finetune"], "task must be pretrain"),
    ],
)
def test_a_mistake_is_one_line_before_anything_trains(
    scratch, capsys, arguments, message
):
    (scratch / "Digits_Demo.yaml").write_text(DEMO.read_text())
    assert main(["demo", *arguments]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert not (scratch / "runs").exists()


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(0.10, "better than"), (-0.10, "worse than"), (0.02, "level with")],
)
def test_a_difference_within_its_interval_is_level(difference, verdict):
    gain = {"difference": difference, "half_width": 0.03}
    row = {
        "labels_per_class": 10,
        "scores": {"pretrained": {"knn": {"accuracy": 0.875}}},
        "differences": {"pretrained - raw pixels": {"knn": gain}},
    }
    assert conclude(row, "knn") == (
        "kNN with 10 labels per class: 87.5% with pretrained features, "
        f"{verdict} raw pixels ({difference:+.3f} ± 0.030)"
    )
    row["labels_per_class"] = "all"
    assert conclude(row, "knn").startswith("kNN with all labels: ")
