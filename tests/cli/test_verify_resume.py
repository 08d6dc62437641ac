import json

from r2mae.cli import verify_resume
from tests.conftest import DEMO, overrides, r2mae


def test_kills_on_one_and_two_devices(tmp_path):
    done = r2mae(
        "verify-resume",
        DEMO,
        *overrides(),
        "--kill-at",
        "7",
        "--devices",
        "1,2",
        cwd=tmp_path,
        check=0,
    )
    result = json.loads(done.stdout.splitlines()[-1].removeprefix("verify-resume: "))
    assert result["passed"]
    assert result["order_and_masks_identical"]
    assert result["positions"] == 20 * 16
    assert result["weights_bit_identical"] == {"1": True, "2": True}
    assert 0 < result["largest_loss_difference"] < 1e-5
    assert not list((tmp_path / "runs").iterdir())


def test_a_batch_that_does_not_divide_is_said_before_anything_runs(tmp_path):
    done = r2mae(
        "verify-resume", DEMO, *overrides(), "--devices", "1,3", cwd=tmp_path, check=2
    )
    assert "must be divisible by" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_plain_difference_fails(tmp_path, monkeypatch):
    """The comparison itself: two runs that differ in one mask, in one weight, in one loss."""
    row = {"step": 1, "position": 0, "index": 4, "ratio": 0.5, "mask": "a", "loss": 1.0}
    for name, change, hashes in (
        ("straight", {}, "h"), ("same", {}, "h"), ("mask", {"mask": "b"}, "h"), ("weights", {}, "g"),
        ("loss", {"loss": 1.1}, "h"), ("nan", {"loss": float("nan")}, "h"),
    ):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        rows = (row, row | {"step": 2} | change)
        (folder / "trace.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
        (folder / "hashes").write_text(hashes)
    monkeypatch.setattr(
        verify_resume, "_hashes", lambda path: (path / "hashes").read_text()
    )

    def passed(killed, elastic):
        straight = {1: tmp_path / "straight"}
        return verify_resume._compare(
            straight, {1: tmp_path / killed}, tmp_path / elastic, exact_losses=True
        )["passed"]

    assert passed("same", "same")
    assert not passed("mask", "same")
    assert not passed("weights", "same")
    assert not passed("same", "mask")
    assert not passed("same", "loss")
    assert not passed("same", "nan")
