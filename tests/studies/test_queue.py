"""Workers of several commands share a study: a trial that one of them runs is not another's."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from r2mae.errors import InputError
from r2mae.studies import queue
from r2mae.studies.plan import load_study
from r2mae.studies.queue import (
    failure_file,
    failures,
    forget_failures,
    run_workers,
    work,
)
from tests.studies.small import write_study


@pytest.fixture
def study(scratch):
    study = load_study(str(write_study(scratch)))
    study.start()
    return study


def test_a_second_command_leaves_running_trials_alone(study, monkeypatch):
    """Once it deleted their records, and the first command failed when it wanted to."""
    run = []

    def run_trial(_, trial):
        forget_failures(study)  # as a second command does when it starts
        assert failure_file(study, trial).exists()
        assert not failures(study)
        run.append(trial)

    monkeypatch.setattr(queue, "run_trial", run_trial)
    work(study)
    assert run == study.trials
    assert not failures(study)


def test_without_locks_a_forgotten_record_is_no_fault(study, monkeypatch):
    """As on a file system that has none."""
    run = []

    def run_trial(_, trial):
        failure_file(study, trial).unlink()
        run.append(trial)

    monkeypatch.setattr(queue, "run_trial", run_trial)
    work(study)
    assert run == study.trials


def test_records_of_killed_trials_are_told_and_forgotten(study):
    first, second = (failure_file(study, trial) for trial in study.trials[:2])
    first.parent.mkdir()
    for record in (first, second):
        record.write_text("planted\nmore")
    with queue._taken(study, study.trials[0]) as is_ours:
        assert is_ours
        assert failures(study) == {study.trials[1].name: "planted"}
        forget_failures(study)
        assert first.exists()
        assert not second.exists()
    forget_failures(study)
    assert not first.exists()


def test_a_later_job_array_tries_failed_trials_again(study, monkeypatch):
    """Its tasks are workers, which do not forget failures as `r2mae study` does."""
    run = []

    def fail(_, trial):
        run.append(trial)
        raise InputError("planted")

    monkeypatch.setattr(queue, "run_trial", fail)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    work(study)
    work(study)  # another task of the same array
    assert run == study.trials
    assert set(failures(study).values()) == {"planted"}
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    work(study)
    assert run == 2 * study.trials


def test_workers_start_together(scratch):
    study = load_study(str(write_study(scratch)))
    with ThreadPoolExecutor(8) as pool:
        for started in [pool.submit(study.start) for _ in range(64)]:
            started.result()


@pytest.mark.parametrize("visible", ["2,GPU-5", None], ids=["named", "counted"])
def test_workers_share_the_gpus(study, monkeypatch, visible):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    run_workers(study, 3, [sys.executable, "-c", code])
    logs = [study.folder / f"worker_{number}.log" for number in range(3)]
    expected = ["2", "GPU-5", "2"] if visible else ["0", "1", "0"]
    assert [log.read_text().strip() for log in logs] == expected
