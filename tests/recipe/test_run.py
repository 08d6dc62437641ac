import pytest
import torch

from r2mae.errors import InputError
from r2mae.recipe.run import load_run
from r2mae.training.checkpoint import remove
from tests.training.runs import train, weights


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "path must be a run folder, such as .*, got None"),
        (("",), "path must be a run folder, such as .*, got ''"),
        (("runs/run", None), "checkpoint must be last, best or step_<n>, got None"),
        (("runs/run", "last", []), r"weights must be trained or ema, got \[\]"),
    ],
)
def test_arguments_that_name_no_run_are_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        load_run(*arguments)


def test_a_run_loads_with_its_own_weights(scratch):
    folder = train(
        "run", "schedule.steps=4", "watch.every_steps=2", "checkpoint.every_steps=2"
    )
    loaded = load_run("runs/run")
    saved = weights(folder, 4)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, saved[f"model.{name}"]), name
    assert not loaded.model.training
    assert load_run("runs/run", "step_2").manifest["step"] == 2
    with pytest.raises(
        InputError, match="--checkpoint must be one of last, best, .*for runs/run"
    ):
        load_run("runs/run", "step_3")
    remove(folder.pointer("best"))
    left = ", ".join(["last", *(path.name for path in folder.saved())])
    with pytest.raises(
        InputError, match=f"one of {left} for runs/run, got 'best', which was deleted"
    ):
        load_run("runs/run", "best")


def test_pixels_are_prepared_as_in_training_whatever_the_card_says_today(scratch):
    card = scratch / "mine.yaml"
    text = "title: mine\nmodality: vision\nsource: mine\nlicence: mine\nembedded: digits\nmean: [{}]\nstd: [{}]\n"
    card.write_text(text.format(0.25, 0.5))
    train(
        "run",
        f"data={{card: {card}, image_size: 8, channels: 1, augment: null}}",
        "schedule.steps=4",
    )
    card.write_text(text.format(0.5, 0.25))
    model = load_run("runs/run").model
    assert (model.pixel_mean.item(), model.pixel_std.item()) == (0.25, 0.5)
