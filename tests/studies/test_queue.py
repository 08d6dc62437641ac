"""Workers of several commands share a study: a trial that one of them runs is not another's."""

import pytest

from r2mae.studies import queue
from r2mae.studies.plan import load_study
from r2mae.studies.queue import failure_file, failures, forget_failures, work
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
