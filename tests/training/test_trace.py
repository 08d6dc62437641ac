import torch

from r2mae.recipe.load import load_recipe
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder
from r2mae.training.trace import mask_hash, read_trace
from tests.conftest import DEMO, TINY


def trace(name, *more, stop_at=None):
    recipe = load_recipe(str(DEMO), [*TINY, "schedule.steps=6", *more])
    folder = RunFolder(f"runs/{name}")
    training = build_training(recipe, folder, trace=True)
    folder.start(recipe_document(recipe))
    if stop_at is not None:
        training.module.num_steps = stop_at
    training.run()
    return folder, training


def test_every_position_once_with_what_it_was_given(scratch):
    folder, training = trace("run", "mask.scope=sample", "batch.per_device_samples=4")
    rows = read_trace(folder)
    assert [row["position"] for row in rows] == list(range(96))
    assert [row["step"] for row in rows] == [
        step for step in range(1, 7) for _ in range(16)
    ]
    module = training.module
    batch = module.dataset.__getitems__(list(range(16, 32)))
    batch = module.objective.prepare(batch, 1)
    assert [row["index"] for row in rows[16:32]] == batch["indices"].tolist()
    assert [row["mask"] for row in rows[16:32]] == [
        mask_hash(hidden) for hidden in batch["mask"].is_masked
    ]
    assert [row["ratio"] for row in rows[16:32]] == batch[
        "mask"
    ].is_masked.double().mean(dim=1).tolist()
    assert len({row["loss"] for row in rows}) == 6


def test_continuing_rewrites_what_is_done_again(scratch):
    straight, _ = trace("straight")
    folder, _ = trace("run", stop_at=4)
    with folder.trace.open(
        "a"
    ) as file:  # a kill two steps after the checkpoint, in the middle of a line
        file.write(
            '{"step": 5, "position": 64, "index": 1, "ratio": 0.5, "mask": "no", "loss": 9}\n{"step": 5, "pos'
        )
    assert len(read_trace(folder)) == 65
    trace("run")
    assert read_trace(folder) == read_trace(straight)


def test_the_hash_names_the_mask():
    masks = [
        torch.tensor(bits) for bits in ([True, False], [False, True], [True, True])
    ]
    assert len({mask_hash(mask) for mask in masks}) == 3
