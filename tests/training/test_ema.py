"""The moving average of the weights: its closed form, in checkpoints, and when used."""

import json

import pytest
import torch
from safetensors.torch import load_file

import r2mae as r2mae_package
from r2mae.cli.main import main
from r2mae.errors import InputError, InterruptedRun
from tests.training.runs import prepare, train, weights
from tests.training.test_recorder import inject

SETTINGS = ("training.ema=0.6", "checkpoint.every_steps=5", "watch.every_steps=20")


def average(folder, step):
    """The average in a checkpoint."""
    return load_file(folder.checkpoints / f"step_{step}" / "ema.safetensors")


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_average_is_that_of_every_step(scratch):
    training, folder = prepare("run", *SETTINGS, "schedule.steps=20")
    module, original = training.module, training.module.optimizer_step
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    expected = {name: p.detach().clone() for name, p in trained.items()}

    def follow(*arguments, **options):
        original(*arguments, **options)
        decay = min(0.6, (1 + module.steps_done) / (10 + module.steps_done))
        for name, parameter in trained.items():
            expected[name] *= decay
            expected[name] += (1 - decay) * parameter.detach()

    module.optimizer_step = follow
    training.run()
    saved = average(folder, 20)
    assert saved.keys() == expected.keys()
    assert "model.decoder_positions" not in saved  # never trained
    for name, tensor in expected.items():
        torch.testing.assert_close(saved[name], tensor)
    assert not torch.equal(saved["model.mask_token"], trained["model.mask_token"])


def test_continuing_equals_never_having_stopped(scratch):
    straight = train("straight", *SETTINGS)
    training, folder = prepare("stopped", *SETTINGS)
    module, original = training.module, training.module.optimizer_step

    def stop_at_12(*arguments, **options):
        original(*arguments, **options)
        if module.steps_done == 12:
            raise InterruptedRun(9, 12)

    module.optimizer_step = stop_at_12
    with pytest.raises(InterruptedRun):
        training.run()
    train("stopped", *SETTINGS)
    assert equal(average(straight, 20), average(folder, 20))


def test_it_changes_no_step_and_may_start_late(scratch):
    plain = train("plain", "checkpoint.every_steps=10")
    training, folder = prepare("late", "checkpoint.every_steps=10")
    training.module.num_steps = 10  # the stream ends there
    training.run()
    assert not (folder.checkpoints / "step_10" / "ema.safetensors").exists()
    train("late", "checkpoint.every_steps=10", "training.ema=0.6")
    assert equal(weights(plain, 20), weights(folder, 20))
    assert average(folder, 20)


def test_a_skipped_step_leaves_it_alone(scratch):
    settings = (*SETTINGS, "checkpoint.every_steps=1", "training.on_nonfinite=skip")
    training, folder = prepare("run", *settings, "schedule.steps=5")
    inject(training, 5)
    training.run()
    assert equal(average(folder, 4), average(folder, 5))


def test_it_is_used_on_request(scratch, capsys):
    folder = train("run", *SETTINGS)
    trained, averaged = (
        r2mae_package.load("runs/run", weights=weights).model.state_dict()
        for weights in ("trained", "ema")
    )
    saved = average(folder, 20)
    for name, tensor in averaged.items():
        source = saved.get(f"model.{name}", trained[name])
        assert torch.equal(tensor, source), name
    scores = []
    for choice in ("trained", "ema"):
        command = ["evaluate", "runs/run", "--task", "knn", "--weights", choice]
        assert main([*command, "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
        assert scores[-1]["weights"] == choice
    assert main(["embed", "runs/run", "test", "-o", "a.npy", "--weights", "ema"]) == 0
    assert main(["embed", "runs/run", "test", "-o", "b.npy"]) == 0
    assert (scratch / "a.npy").read_bytes() != (scratch / "b.npy").read_bytes()


def test_a_run_without_one_is_refused(scratch):
    train("run", "schedule.steps=3", "watch.every_steps=3")
    with pytest.raises(InputError, match="--weights must be trained for .*step_3"):
        r2mae_package.load("runs/run", weights="ema")
