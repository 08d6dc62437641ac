import json

import pytest

from r2mae.cli import verify_resume
from r2mae.cli.main import main
from tests.conftest import DEMO, overrides


def test_a_killed_run_is_compared_with_one_that_was_not(scratch, capsys):
    options = ("--kill-at", "7", "--devices", "2")
    assert main(["verify-resume", str(DEMO), *overrides(), *options]) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    result = json.loads(printed.removeprefix("verify-resume: "))
    assert result["passed"]
    assert result["order_and_masks_identical"]
    assert result["positions"] == 20 * 16
    assert result["weights_bit_identical"] == {"2": True}
    assert result["largest_loss_difference"] == 0
    assert not list((scratch / "runs").iterdir())


def test_on_one_and_two_devices_each_run_is_killed_and_one_changes_its_devices(
    scratch, monkeypatch
):
    """What tests/distributed/test_four_ranks.py does, by the processes of this command."""
    processes, compared = [], []

    def process(jobs, path, devices, kill_at):
        assert jobs._command(path, devices)[-1] == f"hardware.devices={devices}"
        processes.append((path.name.rpartition("-")[2], devices, kill_at))

    def compare(straight, killed, elastic, *, exact_losses):
        paths = (*straight.values(), *killed.values(), elastic)
        compared.extend(path.name.rpartition("-")[2] for path in paths)
        assert list(straight) == list(killed) == [1, 2]
        return {"passed": False}

    monkeypatch.setattr(verify_resume._Jobs, "_process", process)
    monkeypatch.setattr(verify_resume, "_compare", compare)
    options = ("--kill-at", "13,7", "--devices", "1,2")
    with pytest.raises(SystemExit, match="1"):
        main(["verify-resume", str(DEMO), *overrides(), *options])
    assert processes == [
        ("straight_1", 1, None),
        *[("killed_1", 1, kill_at) for kill_at in (7, 13, None)],
        ("straight_2", 2, None),
        *[("killed_2", 2, kill_at) for kill_at in (7, 13, None)],
        ("elastic", 1, 7),
        ("elastic", 2, 13),
        ("elastic", 1, None),
    ]
    assert compared == ["straight_1", "straight_2", "killed_1", "killed_2", "elastic"]


def test_a_batch_that_does_not_divide_is_said_before_anything_runs(scratch, capsys):
    options = [*overrides(), "--devices", "1,3"]
    assert main(["verify-resume", str(DEMO), *options]) == 2
    error = capsys.readouterr().err
    assert "must be divisible by" in error
    assert len(error.strip().splitlines()) == 1
    assert not (scratch / "runs").exists()


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
