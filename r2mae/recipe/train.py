"""One run of any task: its folder, training until it ends or is stopped, and its run.json."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r2mae.errors import InterruptedRun
from r2mae.recipe.trainer import is_first_process
from r2mae.recipe.training import Training, build_training
from r2mae.schema.launch import read_launch
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.run_folder import RunFolder, commit, versions


def train_run(
    recipe: AnyRecipe,
    path: Path,
    *,
    source: str,
    fresh: bool = False,
    trace: bool = False,
    callbacks: Sequence[Any] = (),
    on_start: Callable[[RunFolder], None] = lambda _: None,
) -> dict[str, Any]:
    """Train a recipe to its end in the run folder at path, continuing where the run stopped; returns run.json.

    source: name of the recipe in messages.
    fresh: an earlier run at path is renamed first.
    on_start: called once the folder exists.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    folder = RunFolder(path)
    writes, document = is_first_process(), recipe_document(recipe)
    fresh = fresh and not read_launch().restarted
    if writes and not fresh:  # other ranks may see a half-made folder
        folder.check(document, source)
    status: dict[str, Any] = {} if fresh else folder.read_status()
    if status.get("status") == "finished":
        remedy = "--fresh starts over beside it."
        _print_status(
            writes, f"{folder.path}: finished at step {status['step']}. {remedy}"
        )
        return {"run": str(folder.path)} | status
    run_id = status.get("id") or f"{folder.name}-{time.strftime('%Y%m%d%H%M%S')}"
    training = build_training(
        recipe, folder, fresh=fresh, run_id=run_id, trace=trace, callbacks=callbacks
    )
    # Nothing is written before everything has been built without an error.
    if writes:
        _start(folder, document, run_id, training, fresh)
    on_start(folder)
    at = f", continuing at step {status.get('step')}" if training.resume_from else ""
    size = f"{training.plan.steps} steps of {recipe.batch.global_samples} samples"
    _print_status(writes, f"{folder.path}: {size}{at}")
    return _train(training, folder, writes, status.get("seconds", 0.0))


def _start(
    folder: RunFolder,
    document: dict[str, Any],
    run_id: str,
    training: Training,
    fresh: bool,
) -> None:
    if fresh:
        folder.set_aside()
    folder.start(document)
    folder.write_status(
        id=run_id,
        status="running",
        steps=training.plan.steps,
        commit=commit(),
        versions=versions(),
    )


def _train(
    training: Training, folder: RunFolder, writes: bool, earlier_seconds: float
) -> dict[str, Any]:
    start = time.monotonic()
    ending, stopped_by = "failed", None
    try:
        metrics = training.run()
        ending = "finished"
    except InterruptedRun as interrupted:
        ending, stopped_by = "interrupted", interrupted.signal_number
        raise
    finally:
        skipped = sorted(training.module.skipped)
        seconds = round(earlier_seconds + time.monotonic() - start, 2)
        entries = {"seconds": seconds, "status": ending, "signal": stopped_by}
        entries |= {"skipped_samples": len(skipped), "skipped_first": skipped[:100]}
        # On a full disk the error that stopped the run matters, not that run.json cannot be written.
        with contextlib.suppress(*(() if ending == "finished" else (OSError,))):
            if writes:
                folder.write_status(**entries)
    if skipped:
        text = f"skipped {len(skipped)} unreadable samples, the first {skipped[0]}"
        _print_status(writes, f"{folder.path}: {text}")
    step = training.module.steps_done
    if writes:
        folder.write_status(step=step, metrics=metrics)
    _print_status(writes, f"{folder.path}: finished at step {step} in {seconds} s")
    return {"run": str(folder.path)} | folder.read_status()


def _print_status(writes: bool, line: str) -> None:
    """A line on stderr, from the process that writes."""
    if writes:
        print(line, file=sys.stderr, flush=True)
