"""When a run is warned that it has learned nothing, and against what entropy."""

from types import SimpleNamespace

import numpy as np
import pytest

from r2mae.training.order0 import NaiveLoss, Order0, order_0_entropy
from r2mae.training.run_folder import RunFolder
from tests.modalities.dna.test_base_counts import Source, Uniform

SHARES = np.array([0.7, 0.1, 0.1, 0.1])
ENTROPY = float(-(SHARES * np.log(SHARES)).sum())


def source():
    bases = np.random.default_rng(0).choice(4, (300, 64), p=SHARES)
    bases[:, :5] = 4  # unknown ones do not count
    return Source(bases)


def test_entropy_is_of_what_may_be_hidden():
    assert order_0_entropy(Uniform(), source()) == pytest.approx(ENTROPY, rel=0.01)


def make_callback(warmup_steps=0):
    return Order0(source(), RunFolder("runs/x"), warmup_steps)


@pytest.fixture(autouse=True)
def folder(scratch):
    (scratch / "runs" / "x").mkdir(parents=True)
    return RunFolder("runs/x")


def at(step, loss, capsys, callback=None, num_steps=100):
    """The warning and the log when the held-out loss was measured at step."""
    callback = callback or make_callback()
    logged = []
    logger = SimpleNamespace(
        log_metrics=lambda metrics, step: logged.append((metrics, step))
    )
    engine = SimpleNamespace(
        steps_done=step,
        num_steps=num_steps,
        report=object(),
        validated_step=step,
        validation_loss=loss,
        model=Uniform(),
    )
    callback.on_train_batch_end(
        SimpleNamespace(is_global_zero=True, loggers=[logger]), engine, None, None, 0
    )
    return capsys.readouterr().err, logged


def test_it_speaks_after_a_tenth_and_at_the_end(capsys, folder):
    near, far = ENTROPY * 0.999, ENTROPY * 0.95
    assert at(9, near, capsys) == ("", [])
    said, logged = at(10, near, capsys)
    assert said.startswith(
        "runs/x: the model has learned nothing so far: at step 10 of 100 its held-out loss is"
    )
    assert len(said.splitlines()) == 1
    assert logged[0][0]["validation/order_0_loss"] == pytest.approx(ENTROPY, rel=0.01)
    callback = make_callback()
    assert at(20, far, capsys, callback)[0] == ""
    assert at(30, near, capsys, callback)[0] == ""  # said once
    assert "learned nothing: at step 100 of 100" in at(100, near, capsys, callback)[0]
    assert folder.read_status()["learned_nothing"] is True
    assert at(100, far, capsys)[0] == ""
    assert folder.read_status()["learned_nothing"] is False


def test_a_loss_of_nan_is_nothing_learned(capsys, folder):
    assert "its held-out loss is nan" in at(100, float("nan"), capsys)[0]
    assert folder.read_status()["learned_nothing"] is True


def test_the_end_is_judged_by_a_better_prediction_without_a_model(capsys, folder):
    naive = NaiveLoss(0.5 * ENTROPY, "predicting every base by its column")
    callback = Order0(source(), RunFolder("runs/x"), 0, lambda: naive)
    assert at(20, 0.6 * ENTROPY, capsys, callback)[0] == ""
    message, logged = at(100, 0.6 * ENTROPY, capsys, callback)
    assert f"predicting every base by its column costs {naive.nats:.4f}" in message
    assert logged[0][0]["validation/naive_loss"] == naive.nats
    assert folder.read_status()["learned_nothing"] is True
    assert at(100, 0.4 * ENTROPY, capsys, callback)[0] == ""
    assert folder.read_status()["learned_nothing"] is False


def test_it_waits_for_the_end_of_warm_up(capsys):
    near, callback = ENTROPY * 0.999, make_callback(warmup_steps=30)
    assert at(20, near, capsys, callback)[0] == at(30, near, capsys, callback)[0] == ""
    assert "learned nothing so far: at step 40" in at(40, near, capsys, callback)[0]
    assert (
        "learned nothing: at step 8 of 8"
        in at(8, near, capsys, make_callback(warmup_steps=8), num_steps=8)[0]
    )


def test_it_waits_for_a_measurement(capsys):
    callback, engine = make_callback(), SimpleNamespace(
        steps_done=50, num_steps=100, report=object(), validated_step=40, validation_loss=ENTROPY, model=Uniform()
    )  # fmt: skip
    callback.on_train_batch_end(
        SimpleNamespace(is_global_zero=True, loggers=[]), engine, None, None, 0
    )
    assert callback.entropy is None


def test_language_models_too():
    from tests.models.test_masked_language import make, make_batch

    class Rows:
        def __len__(self):
            return 6

        def load(self, indices, positions, seed):
            return {"input_ids": make_batch()["input_ids"][indices]}

    found = order_0_entropy(make("bert"), Rows())
    assert 3 < found < np.log(116)
    assert isinstance(found, float)
