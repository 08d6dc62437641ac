import gc
import os
import signal
import weakref

import pytest

from r2mae.errors import InterruptedRun
from r2mae.training.checkpoint import read_manifest, remove
from r2mae.training.kept_signals import keep_signals, take_signal
from tests.training.runs import metric, prepare, train


def test_last_two_and_best_stay(scratch):
    folder = train("run", "checkpoint.every_steps=4", "watch.every_steps=4")
    losses = metric(folder, "validation/loss")
    best = min(losses, key=losses.get)
    assert folder.pointer("last").name == "step_20"
    assert folder.pointer("best").name == f"step_{best}"
    assert {path.name for path in folder.saved()} == {
        "step_16",
        "step_20",
        f"step_{best}",
    }
    assert read_manifest(folder.pointer("best"))["validation_loss"] == pytest.approx(
        losses[best]
    )


def test_best_survives_what_comes_after(scratch):
    # A rate that ruins what was learnt: the best lies in the middle.
    folder = train(
        "run",
        "watch.every_steps=2",
        "optimizer.lr_per_256_samples=2.0",
        "schedule.steps=24",
        "schedule.decay=constant",
    )
    losses = metric(folder, "validation/loss")
    best = min(losses, key=losses.get)
    assert best < 24
    assert folder.pointer("best").name == f"step_{best}"
    assert folder.pointer("best").is_dir()


def test_a_deleted_best_leaves_no_loss_to_beat(scratch):
    settings = ("watch.every_steps=2", "schedule.steps=8")
    first, folder = prepare("run", *settings)
    first.module.num_steps = 4
    first.run()
    remove(folder.pointer("best"))
    training, _ = prepare("run", *settings)
    *_, callback = training.trainer.callbacks
    losses = []
    callback._read_reports = lambda *_: losses.append(callback.best_loss)
    training.run()
    assert losses[0] is None


def test_a_manifest_has_the_loss_of_its_own_step_or_none(scratch):
    folder = train(
        "run", "schedule.steps=6", "watch.every_steps=4", "checkpoint.every_steps=5"
    )
    losses = metric(folder, "validation/loss")
    assert list(losses) == [4, 6]
    for step in (5, 6):
        manifest = read_manifest(folder.checkpoints / f"step_{step}")
        saved = manifest.get("validation_loss")
        assert saved == (pytest.approx(losses[6], rel=1e-6) if step == 6 else None)


def test_a_signal_in_the_last_step_is_kept_for_the_next_run(scratch):
    with keep_signals():
        training, folder = prepare("run", "schedule.steps=4")
        module, original = training.module, training.module.optimizer_step

        def signal_at_4(*arguments, **options):
            original(*arguments, **options)
            if module.steps_done == 4:
                os.kill(os.getpid(), signal.SIGUSR1)

        module.optimizer_step = signal_at_4
        training.run()
        assert folder.pointer("last").name == "step_4"
        assert take_signal() == signal.SIGUSR1
        assert take_signal() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_leaves(scratch, number):
    training, folder = prepare(
        "run", "checkpoint.every_steps=1000", "watch.every_steps=1000"
    )
    module, original = training.module, training.module.optimizer_step

    def signal_at_7(*arguments, **options):
        original(*arguments, **options)
        if module.steps_done == 7:
            os.kill(os.getpid(), number)

    module.optimizer_step = signal_at_7
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRun) as caught:
        training.run()
    assert (caught.value.signal_number, caught.value.step) == (number, 7)
    assert folder.pointer("last").name == "step_7"
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_stops_at_once(scratch):
    training, folder = prepare("run", "checkpoint.every_steps=1000")
    module, original = training.module, training.module.optimizer_step

    def twice(*arguments, **options):
        original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    module.optimizer_step = twice
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert folder.saved() == []


def test_the_end_of_training_restores_handlers_and_frees_the_model(scratch):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    training, _ = prepare("run", "schedule.steps=4")
    module = weakref.ref(training.module)
    training.run()
    assert [signal.getsignal(number) for number in numbers] == before
    del training
    gc.collect()
    assert module() is None
