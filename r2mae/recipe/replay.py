"""Repeats a recorded step of a run in one process."""

from typing import Any

from r2mae.errors import InputError
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.trainer import build_trainer, has_batch_norm
from r2mae.recipe.training import build_engine
from r2mae.schema.document import load_document
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.recorder import json_number, read_rows
from r2mae.training.run_folder import RunFolder, saved_step


def replay_step(path: str, step: int | None = None) -> dict[str, Any]:
    """Repeat a recorded step from the nearest checkpoint before it, to find where it became non-finite. Writes nothing.

    Returns {"step", "from", "loss", "grad_norm", "recorded", "finding", "weights", "gradients", "samples"}; see
    `training/replay.py`. All devices' micro-batches run one after the other, uncompiled.

    Raises: InputError when the run or the step is not there.
    """
    from r2mae.training.replay import Replay

    folder = RunFolder(path)
    if not folder.exists:
        raise InputError(
            f"{path} must be a run folder with recipe.yaml, got none. Runs are in runs/ by default."
        )
    row = _choose(folder, step)
    steps = {saved_step(saved): saved for saved in folder.saved()}
    start = max((done for done in steps if done < row["step"]), default=None)
    last = None if start is None else steps[start]
    recipe = _single_process(
        parse_recipe(load_document(folder.recipe), str(folder.recipe))
    )
    engine, plan, parts = build_engine(recipe, folder, last)
    engine.num_steps = row["step"]  # the stream ends there
    replay = Replay(row["step"])
    trainer = build_trainer(recipe, plan, [replay], [], has_batch_norm(engine.model))
    trainer.fit(engine, ckpt_path=None if last is None else str(last))
    positions = replay.finding["positions"] if replay.finding else []
    report = engine.report
    assert report is not None
    return {
        "step": row["step"],
        "from": "the start" if last is None else last.name,
        "loss": json_number(float(report.loss)),
        "grad_norm": json_number(float(report.grad_norm)),
        "recorded": row,
        "finding": replay.finding,
        "weights": replay.weights,
        "gradients": replay.gradients,
        "samples": _samples(engine, parts.train, positions),
    }


def _choose(folder: RunFolder, step: int | None) -> dict[str, Any]:
    rows = {int(row["step"]): row for row in read_rows(folder)}
    if not rows:
        raise InputError(
            f"{folder.path} must hold a step that was not finite, got none in {folder.nonfinite.name}."
        )
    if step is not None and step not in rows:
        steps = ", ".join(map(str, list(rows)[-20:]))
        raise InputError(
            f"--step must be one of {folder.nonfinite}, got {step}. Known: {steps}."
        )
    return rows[max(rows) if step is None else step]


def _single_process(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe in one process, with the same micro-batches."""
    single = {"nodes": 1, "devices": 1, "workers": 0, "compile": False}
    batch = recipe.batch.model_copy(
        update={"per_device_samples": recipe.per_device_samples}
    )
    hardware = recipe.hardware.model_copy(update=single)
    return recipe.model_copy(update={"batch": batch, "hardware": hardware})


def _samples(engine: Any, train: Any, positions: list[int]) -> list[dict[str, Any]]:
    import torch

    if not positions:
        return []
    rows = engine.dataset.stream.indices(torch.tensor(positions)).tolist()
    return [
        {"position": at, "sample": train.name(row)}
        for at, row in zip(positions, rows, strict=True)
    ]
