import json
import subprocess
import sys

import numpy as np
import pytest

from r2mae.cli.main import main

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
    ],
)
def test_bad_input_is_one_line(words, complaint, capsys):
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert said.startswith("r2mae: ")
    assert complaint in said
    assert said.count("\n") == 1
