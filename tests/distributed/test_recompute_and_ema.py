"""Two gloo ranks that recompute activations and keep a moving average."""

from safetensors.torch import load_file

from r2mae.training.run_folder import RunFolder
from tests.distributed.jobs import command, end, start
from tests.training.runs import cut, largest_difference, weights

SETTINGS = (
    "training.ema=0.9",
    "checkpoint.every_steps=10",
    "schedule.steps=20",
    "model.arguments={drop_path_rate: 0.2}",
)


def state(folder, step):
    """Every tensor of a checkpoint; the average under names of its own."""
    saved = load_file(folder.checkpoints / f"step_{step}" / "ema.safetensors")
    return weights(folder, step) | {f"ema {name}": saved[name] for name in saved}


def test_killed_and_continued_equals_straight(tmp_path):
    straight = RunFolder(tmp_path / "runs" / "one")
    recomputing = command("one", *SETTINGS, "hardware.recompute=blocks")
    code, stderr, _ = end(start(tmp_path, recomputing), 300)
    assert code == 0, stderr
    stopped = cut(straight, "two")
    # What recomputes may change too: it changes no number.
    code, stderr, _ = end(start(tmp_path, command("two", *SETTINGS)), 300)
    assert code == 0, stderr
    assert "continuing at step 10" in stderr
    assert largest_difference(state(straight, 20), state(stopped, 20)) == 0
