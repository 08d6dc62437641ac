"""What a study will cost: `r2mae study --dry-run`."""

import time
from datetime import timedelta
from typing import Any

from r2mae.json_text import json_text
from r2mae.progress import progress_bar
from r2mae.recipe.rehearse import first_step
from r2mae.studies.budget import planned_steps, training_pflop
from r2mae.studies.plan import Study, Trial

_TIMED_STEPS, _TIMED_SECONDS = 3, 5.0  # at most so many steps, and none after so long


def print_plan(study: Study, jobs: int, as_json: bool) -> None:
    """Trials, FLOPs of each law, and expected time on this machine."""
    seeds = study.section.seeds
    trials = len(study.trials)
    distinct = study.distinct_trials
    progress, rows = progress_bar("timing a step of each law", "laws"), []
    for trial in distinct:
        rows.append(_plan_of(trial))
        progress(len(rows), len(distinct))
    hours = sum(row["seconds"] for row in rows) * seeds / 3600
    document = {"trials": trials, "laws": rows, "hours": round(hours, 2)}
    if as_json:
        print(json_text(document))
        return
    counts = [f"{len(study.section.laws)} laws", f"{seeds} seeds"]
    counts[1:1] = [f"{len(study.variants)} variants"] if study.section.vary else []
    print(f"{trials} trials: {' x '.join(counts)}")
    names = [_name_of(row, study) for row in rows]
    width = max(map(len, names))
    for name, row in zip(names, rows, strict=True):
        print(
            f"{name:<{width}}  mean ratio {row['mean_ratio']:.2f}  "
            f"{row['steps']:>8,} steps  {row['pflop']:.3g} PFLOP  about {row['seconds']:,.0f} s  "
            f"{row['mask']}"
        )
    alone, shared = (timedelta(seconds=round(3600 * h)) for h in (hours, hours / jobs))
    print(f"training: about {alone} in one process, {shared} with --jobs {jobs}")
    print(f"folder: {study.folder}")


def _name_of(row: dict[str, Any], study: Study) -> str:
    """The law of a row, with the values of further axes."""
    axes = [f"{key} {row[key]}" for key in study.section.vary]
    return ", ".join([row["law"], *axes])


def _plan_of(trial: Trial) -> dict[str, Any]:
    steps = planned_steps(trial.recipe)
    return dict(trial.variant) | {
        "law": trial.law,
        "mask": trial.law_in_words,
        "mean_ratio": round(trial.recipe.mask.law.mean(), 4),
        "steps": steps,
        "pflop": training_pflop(trial.recipe),
        "seconds": round(steps * _step_seconds(trial.recipe), 1),
    }


def _step_seconds(recipe: Any) -> float:
    """Measured time of a step, without optimizer and validation."""
    engine, batch = first_step(recipe, 1)
    model = engine.model.train()
    times = []
    for _ in range(_TIMED_STEPS):
        start = time.perf_counter()
        loss = engine.objective.loss(model, batch)
        (loss.total / loss.count).backward()
        times.append(time.perf_counter() - start)
        if sum(times) > _TIMED_SECONDS:
            break
    return float(min(times) * recipe.accumulation)
