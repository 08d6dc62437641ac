"""One run of any task: its folder, training until it ends or is stopped, and its run.json."""

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from r2mae.errors import InputError, InterruptedRun
from r2mae.recipe.device import (
    describe_device,
    emulated_notice,
    fallback_notice,
    out_of_memory,
)
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.pictures import store_pictures
from r2mae.recipe.trainer import is_first_process
from r2mae.recipe.training import Training, build_training
from r2mae.schema.launch import read_launch, slurm_job
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.collectives import dump_collectives
from r2mae.training.run_folder import RunFolder
from r2mae.training.software import commit, versions
from r2mae.training.start import describe_start


def train_run(
    recipe: AnyRecipe,
    path: Path,
    *,
    source: str,
    fresh: bool = False,
    trace: bool = False,
    alone: bool = False,
    callbacks: Sequence[Any] = (),
    on_start: Callable[[RunFolder], None] = lambda _: None,
) -> dict[str, Any]:
    """Train a recipe to its end in the run folder at path, continuing where the run stopped; returns run.json.

    source: name of the recipe in messages.
    fresh: an earlier run at path is renamed first.
    alone: the command has no other run; its id in wandb is then `WANDB_RUN_ID`, where that is set.
    on_start: called once the folder exists.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    folder = RunFolder(path)
    writes = is_first_process()
    fresh = fresh and not read_launch().restarted
    if writes and not fresh:  # other ranks may see a half-made folder
        check_run(recipe, folder, source)
    status: dict[str, Any] = {} if fresh else folder.read_status()
    if status.get("status") == "finished":
        remedy = "--fresh starts over beside it."
        _print_status(
            writes, f"{folder.path}: finished at step {status['step']}. {remedy}"
        )
        return {"run": str(folder.path)} | status
    gc.collect()  # an earlier Trainer of this process, in a reference cycle with its data
    run_id = status.get("id") or f"{folder.name}-{time.strftime('%Y%m%d%H%M%S')}"
    logged = _logged_id(run_id, alone)
    # Locked before data is opened, which may take minutes; nothing else is written yet.
    with folder.reserve() if writes else contextlib.nullcontext():
        training = build_training(
            recipe, folder, fresh=fresh, run_id=logged, trace=trace, callbacks=callbacks
        )
    if writes:
        _start(folder, recipe, run_id, training, fresh)
        _announce(folder, recipe, training, status.get("step"))
    on_start(folder)
    result = _train(recipe, training, folder, status.get("seconds", 0.0))
    if writes:
        store_pictures(recipe, folder)
    return result


def _logged_id(run_id: str, alone: bool) -> str:
    """The id of a run for wandb; `WANDB_RUN_ID`, which the agent of a sweep sets, is that of one run only."""
    given = os.environ.get("WANDB_RUN_ID")
    if not given:
        return run_id
    return given if alone else f"{given}-{run_id}"


def check_run(recipe: AnyRecipe, folder: RunFolder, source: str) -> None:
    """Raise InputError unless a run of this recipe may start or continue in the folder."""

    def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
        """A stored recipe with the defaults of keys that did not exist when its run began."""
        try:
            return recipe_document(parse_recipe(document, str(folder.recipe)))
        except InputError as error:  # a key that no longer exists
            remedy = "Choose another --name, or --fresh to start over beside it."
            raise InputError(f"{error} {remedy}") from None

    folder.check(recipe_document(recipe), source, with_defaults)


def wait_for_all_ranks() -> None:
    """Return once all ranks of a job have come here; at once where there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def _start(
    folder: RunFolder,
    recipe: AnyRecipe,
    run_id: str,
    training: Training,
    fresh: bool,
) -> None:
    if fresh:
        folder.set_aside()
    folder.start(recipe_document(recipe))
    folder.write_status(
        id=run_id,
        status="running",
        signal=None,
        steps=training.plan.steps,
        hardware=describe_device(recipe),
        slurm_job=slurm_job(),
        commit=commit(),
        versions=versions(),
    )


def _announce(
    folder: RunFolder, recipe: AnyRecipe, training: Training, step: int | None
) -> None:
    """Print what is trained, from which weights, and where."""
    if start := describe_start(training.module.model):
        _print_status(True, f"{folder.path}: starts from {start}")
    for notice in (fallback_notice(recipe), emulated_notice(recipe)):
        if notice:
            _print_status(True, f"{folder.path}: {notice}")
    if training.left_out:
        _print_status(True, f"{folder.path}: left out of the data: {training.left_out}")
    device = describe_device(recipe)
    size = f"{training.plan.steps} steps of {recipe.batch.global_samples} samples"
    place = f"{device['processes']} x {device['device']} in {device['precision']}"
    if device["nodes"] > 1:
        place += f" on {device['nodes']} nodes"
    at = f", continuing at step {step}" if training.resume_from else ""
    _print_status(True, f"{folder.path}: {size} on {place}, host {device['host']}{at}")


def _train(
    recipe: AnyRecipe, training: Training, folder: RunFolder, earlier_seconds: float
) -> dict[str, Any]:
    dump_collectives(folder.path)
    writes, start = is_first_process(), time.monotonic()
    ending, stopped_by = "failed", None
    try:
        training.run()
        ending = "finished"
    except InterruptedRun as interrupted:
        ending, stopped_by = "interrupted", interrupted.signal_number
        raise
    except KeyboardInterrupt:
        ending = "interrupted"
        raise
    except torch.OutOfMemoryError as error:
        raise out_of_memory(recipe, error) from error
    finally:
        skipped = sorted(training.module.skipped)
        seconds = round(earlier_seconds + time.monotonic() - start, 2)
        entries = {"seconds": seconds, "status": ending, "signal": stopped_by}
        entries |= {"skipped_samples": len(skipped), "skipped_first": skipped[:100]}
        # On a full disk the error that stopped the run matters, not that run.json cannot be written.
        with contextlib.suppress(*(() if ending == "finished" else (OSError,))):
            if writes:
                folder.write_status(**entries)
        if stopped_by is not None:  # a launcher kills the others when one has ended
            wait_for_all_ranks()
    if skipped:
        text = f"skipped {len(skipped)} unreadable samples, the first {skipped[0]}"
        _print_status(writes, f"{folder.path}: {text}")
    step = training.module.steps_done
    _print_status(writes, f"{folder.path}: finished at step {step} in {seconds} s")
    return {"run": str(folder.path)} | folder.read_status()


def _print_status(writes: bool, line: str) -> None:
    """A line on stderr, from the process that writes."""
    if writes:
        print(line, file=sys.stderr, flush=True)
