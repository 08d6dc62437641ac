import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from r2mae.cli import recommend
from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.law import FixedRatio
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO

RISK = ["theory", "risk", "--num-rows", "100", "--ratio", "uniform:0.1:0.5"]
AR1 = ["--covariance", "ar1:0.9", "--num-features", "200", "--target", "100"]


def test_the_theory_needs_no_torch():
    code = "import sys, r2mae.theory; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_risk(capsys):
    assert main([*RISK, *AR1, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_features"] == 200
    assert found["excess_risk"] == pytest.approx(found["bias"] + found["variance"])
    assert main([*RISK, *AR1]) == 0
    assert f"excess risk {found['excess_risk']:.6g}" in capsys.readouterr().out


def test_the_peak_is_said(capsys):
    assert (
        main([*RISK, "--covariance", "identity", "--num-features", "100", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["excess_risk"] is None


def test_files(tmp_path, capsys):
    np.save(tmp_path / "s.npy", np.eye(5))
    np.save(tmp_path / "b.npy", np.ones(5))
    line = [
        *RISK,
        "--covariance",
        str(tmp_path / "s.npy"),
        "--coefficients",
        str(tmp_path / "b.npy"),
    ]
    assert main([*line, "--noise-variance", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_features"] == 5


def test_plot(tmp_path, capsys):
    line = [
        "theory",
        "plot",
        "--num-rows",
        "100",
        "--ratio",
        "0.75",
        *AR1,
        "-o",
        str(tmp_path / "p.png"),
        "--json",
    ]
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["a fresh mask at every visit"]) == len(found["ratio"])
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([*RISK, "--covariance", "ar1:0.9"], "num_features must be at least 1"),
        ([*RISK, "--covariance", "what"], "covariance must be identity"),
        (
            [*RISK, *AR1, "--target", "300"],
            "target must be a feature in [0, 200], got 300",
        ),
        ([*RISK, *AR1, "--ratio", "uniform:0.1:50"], "did you mean 0.50?"),
        ([*RISK, *AR1, "--ratio", "uniform:0.1"], "--ratio must be a ratio or one of"),
        ([*RISK, *AR1, "--ratio", "0"], "ratio must be in (0, 1), got 0"),
        (
            [*RISK, *AR1, "--noise-variance", "-1"],
            "--noise-variance must be at least 0",
        ),
        (
            [*RISK, *AR1, "--coefficients", "b.npy"],
            "--coefficients must not be given with --target",
        ),
        ([*RISK, *AR1, "--masks-per-row", "3"], "masks_per_row must be 1 or inf"),
        (["theory", "recommend", DEMO, "-o", "a.pdf"], "-o must be a .png file"),
        (
            ["theory", "recommend", DEMO, "-o", "absent/a.png"],
            "in a folder that exists, got absent/a.png",
        ),
        (["theory", "recommend", "absent.yaml"], "absent.yaml"),
    ],
)
def test_bad_input_is_one_line(words, complaint, capsys):
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert said.startswith("r2mae: ")
    assert complaint in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "choice"), [("mine.yaml", "fixed"), ("digits_demo", "least_regret")]
)
def test_recommend_reads_a_recipe_and_writes_one(scratch, capsys, recipe, choice):
    Path("mine.yaml").write_text(DEMO.read_text())
    line = ["theory", "recommend", recipe, "--bootstrap", "1", "--json"]
    line += ["--write", choice]
    assert main([*line, "-o", "a.png"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["num_rows"] == 1293
    assert Path("a.png").is_file()
    written = load_recipe(f"{Path(recipe).stem}_{choice}.yaml")
    assert written.mask.ratio.mean_ratio < 0.5
    assert main(line) == 2
    assert "must not exist yet" in capsys.readouterr().err


ANSWER = SimpleNamespace(
    no_advice=None,
    best_fixed=0.3,
    least_expected=SimpleNamespace(law=FixedRatio(0.96)),
    schedules=[SimpleNamespace(start=0.96, end=0.3, gain=0.1)],
)


def test_without_advice_nothing_is_written(scratch, capsys, monkeypatch):
    Path("mine.yaml").write_text(DEMO.read_text())
    rows = np.random.default_rng(0).standard_normal((60, 16, 2))
    tokens = rows + rows.mean(axis=1, keepdims=True) * 8
    monkeypatch.setattr(
        "r2mae.recipe.assembly.read_tokens", lambda recipe: (tokens, 10**7)
    )
    line = ["theory", "recommend", "mine.yaml", "--bootstrap", "1"]
    assert main([*line, "--write", "fixed"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("no advice for this data, because ")
    assert "--write fixed must follow from advice" in captured.err
    assert list(Path().glob("*.yaml")) == [Path("mine.yaml")]


@pytest.mark.parametrize("choice", ["least_regret", "schedule"])
def test_a_choice_at_an_edge_of_the_grid_is_not_written(choice):
    with pytest.raises(InputError, match="must be inside the ratios tried, got .*0.96"):
        recommend._choose(ANSWER, choice)


def test_a_choice_inside_the_grid_is_written():
    assert recommend._choose(ANSWER, "fixed") == (FixedRatio(0.3), None)


def test_recommend_reads_categories(scratch, capsys):
    line = ["theory", "recommend", "motifs_demo", "--bootstrap", "1", "--json"]
    assert main([*line, "--set", "data.length=32"]) == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["num_tokens"] == 32
    assert advice["num_features"] == 3 * 32
