"""One run of any task: its folder, training until it ends or is stopped, and what is said of it."""

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from r2mae.errors import InputError, InterruptedRun
from r2mae.schema.launch import read_launch
from r2mae.schema.recipe import AnyRecipe, recipe_document


def train_run(
    recipe: AnyRecipe, path: Path, arguments: argparse.Namespace, *, fresh: bool
) -> dict[str, Any]:
    """Train a recipe to the end in the run folder at path, from where it was left; {"run", "step", ...}.

    fresh: an earlier run at path is set aside first.

    Raises: InputError for bad recipes, data or folders; InterruptedRun after a signal.
    """
    from r2mae.recipe.trainer import is_first_process
    from r2mae.recipe.training import build_training
    from r2mae.training.run_folder import RunFolder, commit, versions

    folder = RunFolder(path)
    writes, document = is_first_process(), recipe_document(recipe)
    fresh = fresh and not read_launch().restarted
    if (
        writes and not fresh
    ):  # the other ranks may find what the first one is just making
        folder.check(document, str(arguments.recipe))
    status = {} if fresh else folder.read_status()
    if status.get("status") == "finished":
        tell(
            writes,
            f"{folder.path}: finished at step {status['step']}. --fresh starts over beside it.",
        )
        return {"run": str(folder.path)} | status
    run_id = status.get("id") or f"{folder.name}-{time.strftime('%Y%m%d%H%M%S')}"
    training = build_training(
        recipe,
        folder,
        fresh=fresh,
        run_id=run_id,
        trace=getattr(arguments, "trace", False),
    )
    # Only now, when all of it can work, is anything written.
    if writes:
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
    arguments.log_file = folder.stderr
    at = (
        f", continuing at step {folder.read_status().get('step')}"
        if training.resume_from
        else ""
    )
    tell(
        writes,
        f"{folder.path}: {training.plan.steps} steps of {recipe.batch.global_samples} samples{at}",
    )
    return _train(training, folder, writes, status.get("seconds", 0.0))


def _train(
    training: Any, folder: Any, writes: bool, earlier_seconds: float
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
        entries = {
            "seconds": round(earlier_seconds + time.monotonic() - start, 2),
            "status": ending,
        }
        entries["signal"] = stopped_by
        # Where the disk is full, what stopped the run is the news, not that this cannot be written either.
        with contextlib.suppress(*(() if ending == "finished" else (OSError,))):
            if writes:
                folder.write_status(
                    **entries, skipped_samples=len(skipped), skipped_first=skipped[:100]
                )
    if skipped:
        tell(
            writes,
            f"{folder.path}: skipped {len(skipped)} unreadable samples, the first {skipped[0]}",
        )
    step = training.module.steps_done
    if writes:
        folder.write_status(step=step, metrics=metrics)
    tell(writes, f"{folder.path}: finished at step {step} in {entries['seconds']} s")
    status: dict[str, Any] = folder.read_status()
    return {"run": str(folder.path)} | status


def run_path(name: str) -> Path:
    """runs/<name>.

    Raises: InputError for names that would leave runs/.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise InputError(f"--name must be a plain folder name, got {name!r}.")
    return Path("runs") / name


def tell(writes: bool, line: str) -> None:
    """A line on stderr, from the process that writes."""
    if writes:
        print(line, file=sys.stderr, flush=True)
