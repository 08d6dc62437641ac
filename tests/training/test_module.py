import pytest
import torch

from r2mae.errors import InputError, InterruptedRun
from tests.training.runs import (
    broken_images,
    largest_difference,
    metric,
    prepare,
    train,
    weights,
)

CLIPPED = ("optimizer.clip_norm=0.5", "log=[csv]")


def test_accumulation_changes_nothing(scratch):
    whole = train("whole", *CLIPPED)
    parts = train("parts", *CLIPPED, "batch.per_device_samples=4")
    before, after = metric(whole, "train/loss"), metric(parts, "train/loss")
    assert len(before) == 20
    assert max(abs(before[step] - after[step]) for step in before) < 1e-5
    assert largest_difference(weights(whole, 20), weights(parts, 20)) < 1e-3


def test_accumulation_with_unequal_counts_weighs_every_hidden_token_alike(scratch):
    unequal = (
        "mask.scope=sample",
        "mask.ratio={uniform: {low: 0.1, high: 0.9}}",
        *CLIPPED,
    )
    whole, parts = (
        train("whole", *unequal),
        train("parts", *unequal, "batch.per_device_samples=2"),
    )
    before, after = metric(whole, "train/loss"), metric(parts, "train/loss")
    assert max(abs(before[step] - after[step]) for step in before) < 1e-5


def test_gradient_is_that_of_the_mean_over_hidden_tokens(scratch):
    training, _ = prepare(
        "run",
        "batch.per_device_samples=4",
        "schedule.steps=3",
        "optimizer.lr_per_256_samples=1e-9",
    )
    module, taken = training.module, {}

    finish_gradients = module.on_before_optimizer_step

    def keep(optimizer):
        finish_gradients(optimizer)
        taken.setdefault(
            "gradients",
            {
                name: p.grad.clone()
                for name, p in module.named_parameters()
                if p.requires_grad
            },
        )

    module.on_before_optimizer_step = keep
    batch = module.dataset.__getitems__(list(range(16)))
    mask = module.objective.prepare(batch, 0)["mask"]
    output = module.model(batch, mask)
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    expected = torch.autograd.grad(
        output.loss.mean, [p for p in module.parameters() if p.requires_grad]
    )
    training.run()
    for name, gradient in zip(names, expected, strict=True):
        torch.testing.assert_close(
            taken["gradients"][name], gradient, rtol=1e-4, atol=1e-7
        )


def test_a_step_hides_by_seed_and_step_not_by_batch(scratch):
    module = prepare("run")[0].module
    batch = module.dataset.__getitems__(list(range(32, 48)))
    part = module.dataset.__getitems__(list(range(40, 44)))
    whole = module.objective.prepare(batch, 2)["mask"].is_masked
    assert torch.equal(whole[8:12], module.objective.prepare(part, 2)["mask"].is_masked)
    assert not torch.equal(whole, module.objective.prepare(batch, 3)["mask"].is_masked)


@pytest.mark.parametrize("workers", [0, 2])
def test_same_recipe_same_weights(scratch, workers):
    one = train("one", "schedule.steps=6")
    two = train("two", "schedule.steps=6", f"hardware.workers={workers}")
    assert largest_difference(weights(one, 6), weights(two, 6)) == 0
    other = train("other", "schedule.steps=6", "seed=1")
    assert largest_difference(weights(one, 6), weights(other, 6)) > 1e-4


def test_training_learns(scratch):
    losses = metric(
        train("run", "schedule.steps=60", "batch.global_samples=64"), "validation/loss"
    )
    assert losses[60] < 0.8 * losses[6]


def test_bf16_with_clipping_and_accumulation_trains(scratch):
    folder = train(
        "run",
        "hardware.precision=bf16-mixed",
        "optimizer.clip_norm=1.0",
        "batch.per_device_samples=8",
    )
    losses = metric(folder, "train/loss")
    assert losses[20] < losses[1]
    exact = metric(train("exact", "optimizer.clip_norm=1.0"), "train/loss")
    assert 0 < max(abs(losses[step] - exact[step]) for step in losses) < 0.05


def test_a_bad_sample_in_a_worker_is_one_line(scratch):
    training, _ = prepare("run", "hardware.workers=1")

    class Broken:
        fingerprint = "x"

        def load(self, indices, positions, seed):
            raise InputError("image 7 must be whole, got half.")

    training.module.dataset.source = Broken()
    with pytest.raises(InputError, match="^image 7 must be whole, got half.$"):
        training.run()


def test_continuing_equals_never_having_stopped(scratch):
    settings = ("checkpoint.every_steps=5", "watch.every_steps=7", "hardware.workers=1")
    straight = train("straight", *settings)
    training, folder = prepare("stopped", *settings)
    module = training.module
    original = module.optimizer_step

    def stop_at_12(*arguments, **options):
        original(*arguments, **options)
        if module.steps_done == 12:
            raise InterruptedRun(9, 12)

    module.optimizer_step = stop_at_12
    with pytest.raises(InterruptedRun):
        training.run()
    assert folder.pointer("last").name == "step_10"
    train("stopped", *settings)
    assert largest_difference(weights(straight, 20), weights(folder, 20)) == 0
    assert metric(straight, "validation/loss") == metric(folder, "validation/loss")
    assert metric(straight, "train/loss").keys() == metric(folder, "train/loss").keys()


def test_a_continued_run_knows_the_unreadable_samples_of_before(scratch):
    settings = broken_images(scratch / "images")
    whole, _ = prepare("whole", *settings)
    whole.run()
    first, _ = prepare("run", *settings)
    first.module.num_steps = 1
    first.run()
    second, _ = prepare("run", *settings)
    second.run()
    assert second.module.skipped == whole.module.skipped
    assert 0 < len(first.module.skipped) < len(whole.module.skipped)


def test_accumulation_may_change_between_runs(scratch):
    straight = train("straight", "checkpoint.every_steps=10")
    training, folder = prepare("changed", "checkpoint.every_steps=10")
    module, original = training.module, training.module.optimizer_step

    def stop_at_10(*arguments, **options):
        if module.steps_done == 10:
            raise InterruptedRun(9, 10)
        original(*arguments, **options)

    module.optimizer_step = stop_at_10
    with pytest.raises(InterruptedRun):
        training.run()
    train("changed", "checkpoint.every_steps=10", "batch.per_device_samples=4")
    before, after = metric(straight, "train/loss"), metric(folder, "train/loss")
    assert before.keys() == after.keys()
    assert max(abs(before[step] - after[step]) for step in before) < 1e-5
