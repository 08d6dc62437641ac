"""`r2mae mask`: what would be hidden at which step, for which samples."""

import argparse
import json
import math
from typing import Any

from r2mae.errors import InputError
from r2mae.schema.recipe import load_recipe


def run(arguments: argparse.Namespace) -> None:
    """Print masks as JSON, or drawn: `#` hidden, `.` visible."""
    steps = parse_range("--steps", arguments.steps)
    offsets = parse_range("--positions", arguments.positions)
    recipe = load_recipe(arguments.recipe, arguments.set, task="pretrain")
    from r2mae.recipe import build_outline, count_training_samples, make_plan

    model: Any = build_outline(recipe)
    samples, _ = count_training_samples(recipe)
    plan = make_plan(recipe, samples, math.prod(model.grid))
    _check_within("--steps", steps, plan.steps)
    _check_within("--positions", offsets, recipe.batch.global_samples)
    shown = [_step(recipe, model.grid, plan, step, offsets) for step in steps]
    if arguments.json:
        print(json.dumps({"grid": list(model.grid), "steps": shown}))
        return
    for step in shown:
        _draw(step, model.grid)


def _step(recipe: Any, grid: tuple[int, ...], plan: Any, step: int, offsets: range) -> dict[str, Any]:
    import torch

    from r2mae.datasets.stream import Stream
    from r2mae.masking.pattern import sample_mask
    from r2mae.masking.ratio import draw_ratios

    positions = step * recipe.batch.global_samples + torch.tensor(offsets)
    ratios = draw_ratios(recipe.mask.law, recipe.seed, step, step / plan.steps, positions)
    eligible = torch.ones(len(positions), math.prod(grid), dtype=torch.bool)
    mask = sample_mask(recipe.mask.pattern, eligible, ratios, recipe.seed, positions, grid)
    indices = Stream(plan.train_samples, recipe.seed).indices(positions)
    samples = [
        {
            "position": int(positions[row]),
            "index": int(indices[row]),
            "ratio": float(ratios[row]),
            "masked": mask.is_masked[row].nonzero()[:, 0].tolist(),
        }
        for row in range(len(positions))
    ]
    return {"step": step, "samples": samples}


def _draw(step: dict[str, Any], grid: tuple[int, ...]) -> None:
    rows, columns = (1, *grid)[-2:]
    for sample in step["samples"]:
        hidden = set(sample["masked"])
        print(
            f"step {step['step']}  position {sample['position']}  sample {sample['index']}  "
            f"ratio {sample['ratio']:.4f}  hidden {len(hidden)} of {rows * columns}"
        )
        for row in range(rows):
            print("  " + "".join("#" if row * columns + column in hidden else "." for column in range(columns)))


def parse_range(option: str, text: str) -> range:
    """`A:B` as range(A, B).

    Raises: InputError for anything else, and for empty ranges.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise InputError(f"{option} must be A:B with 0 <= A < B, got {text!r}.")
    return range(int(first), int(last))


def _check_within(option: str, chosen: range, limit: int) -> None:
    if chosen.stop > limit:
        raise InputError(f"{option} must end at {limit} or before, got {chosen.start}:{chosen.stop}.")
    if len(chosen) > 10_000:
        raise InputError(f"{option} must span at most 10,000, got {len(chosen)}.")
