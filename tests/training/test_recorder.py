"""Steps that are not finite: nothing they touch changes, and what happened is written down."""

import json

import pytest
import torch

from r2mae.errors import InputError
from r2mae.training.recorder import read_rows
from r2mae.training.run_folder import RunFolder
from tests.training.runs import largest_difference, prepare, train, weights


def inject(training, *steps, value=float("inf")):
    """Let the loss of some steps (from 1) be what no loss should be."""
    module, original = training.module, training.module.training_step

    def step(batch, batch_idx):
        loss = original(batch, batch_idx)
        return loss * value if module.steps_done + 1 in steps else loss

    module.training_step = step


def test_a_stop_keeps_the_weights_before_the_step(scratch):
    healthy = train("healthy", "checkpoint.every_steps=6", "schedule.steps=20")
    training, folder = prepare(
        "run", "checkpoint.every_steps=10", "watch.every_steps=20"
    )
    training.trainer.callbacks[
        -1
    ].read_every = 10  # read late: steps 8 and 9 have run by then
    inject(training, 7)
    with pytest.raises(
        InputError,
        match="step 7 must have a finite loss and gradient, got loss .* r2mae replay runs",
    ):
        training.run()
    assert folder.pointer("last").name == "step_6"
    assert [row["step"] for row in read_rows(folder)] == [7]
    again, _ = prepare("run", "checkpoint.every_steps=10", "watch.every_steps=20")
    again.run()  # nothing is injected any more: the same end as if nothing had happened
    assert largest_difference(weights(healthy, 20), weights(folder, 20)) == 0


def test_what_is_written_down(scratch):
    training, folder = prepare("run")
    inject(training, 3, value=float("nan"))
    with pytest.raises(InputError):
        training.run()
    (row,) = map(json.loads, folder.nonfinite.read_text().splitlines())
    assert (row["step"], row["positions"], row["grad_norm"]) == (3, [32, 48], "nan")
    assert row["weight_norm"] > 0
    assert 0.3 <= row["mask_ratio"] <= 0.8


def test_skipping_goes_on_without_the_step(scratch):
    settings = ("training.on_nonfinite=skip", "checkpoint.every_steps=1")
    training, folder = prepare("run", *settings)
    training.trainer.callbacks[-1]._prune = lambda: None
    inject(training, 5, 9)
    training.run()
    assert [row["step"] for row in read_rows(folder)] == [5, 9]
    for step in (5, 9):
        assert largest_difference(weights(folder, step - 1), weights(folder, step)) == 0
    assert largest_difference(weights(folder, 5), weights(folder, 6)) > 0
    assert training.module.steps_done == 20


def test_skipping_has_a_bound_that_continuing_remembers(scratch):
    settings = (
        "training.on_nonfinite=skip",
        "training.max_skipped_steps=2",
        "schedule.steps=30",
    )
    training, _ = prepare("run", *settings)
    inject(training, 3, 5)
    training.module.num_steps = 10  # as if it had been stopped there
    training.run()
    again, _ = prepare("run", *settings)
    assert again.resume_from is not None
    inject(again, 15)
    with pytest.raises(
        InputError,
        match="max_skipped_steps must be at least the 3 steps skipped so far, got 2: step 15",
    ):
        again.run()


@pytest.mark.parametrize("mode", ["stop", "skip"])
def test_running_statistics_survive_too(scratch, mode):
    encoder = "{encoder: resnet18, patch_size: 8, arguments: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}}"
    settings = (
        f"training.on_nonfinite={mode}", "data.image_size=32", "batch.global_samples=16", "schedule.steps=6",
        "checkpoint.every_steps=1", "watch.every_steps=6", "watch.effective_rank=false", "watch.knn=false",
    )  # fmt: skip
    from r2mae.recipe.load import load_recipe
    from r2mae.recipe.training import build_training
    from r2mae.schema.recipe import recipe_document
    from tests.conftest import DEMO, TINY

    tiny = [setting for setting in TINY if not setting.startswith("model.")]
    recipe = load_recipe(str(DEMO), [*tiny, f"model={encoder}", *settings])
    folder = RunFolder("runs/run")
    training = build_training(recipe, folder)
    folder.start(recipe_document(recipe))
    training.trainer.callbacks[-1]._prune = lambda: None
    module = training.module

    first = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
    before = {}

    def spoil(network, inputs):
        if module.steps_done == 3 and network.training:
            before["weight"] = network.weight.data.clone()
            network.weight.data[0] = float("inf")

    def mend(network, inputs, output):
        if before:
            network.weight.data.copy_(before.pop("weight"))

    first.register_forward_pre_hook(spoil)
    first.register_forward_hook(mend)
    if mode == "stop":
        with pytest.raises(InputError, match="step 4 must have a finite loss"):
            training.run()
    else:
        training.run()
        assert largest_difference(weights(folder, 3), weights(folder, 4)) == 0
    assert all(
        torch.isfinite(tensor).all()
        for tensor in weights(folder, 3 if mode == "stop" else 6).values()
    )


def test_a_damaged_record_is_one_line(scratch):
    folder = train("run", "schedule.steps=3")
    folder.nonfinite.write_text("{not json\n")
    with pytest.raises(
        InputError, match="nonfinite.jsonl must hold one JSON mapping per line"
    ):
        read_rows(folder)
