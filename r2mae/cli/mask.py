"""`r2mae mask`: draw the masks of chosen steps and samples, as training would."""

import argparse
import math
from typing import Any

from r2mae.cli.arguments import add_recipe
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.recipe.load import load_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE`, `--steps` and `--positions`."""
    add_recipe(parser)
    steps = "optimizer steps from A to B - 1; default 0:3"
    parser.add_argument("--steps", default="0:3", metavar="A:B", help=steps)
    positions = "samples of each step, from A to B - 1; default 0:2"
    parser.add_argument("--positions", default="0:2", metavar="A:B", help=positions)


def run(arguments: argparse.Namespace) -> None:
    """Print masks as JSON, or as text: `#` masked, `.` visible, blank if never masked."""
    steps = parse_range("--steps", arguments.steps)
    offsets = parse_range("--positions", arguments.positions)
    recipe = load_recipe(arguments.recipe, arguments.set, task="pretrain")
    from r2mae.recipe.assembly import build_outline, is_data_here, open_training_data
    from r2mae.recipe.plan import make_plan

    if not is_data_here(recipe):
        raise InputError(
            "data must be on this machine to show its masks, got a card without local data. Set data.root."
        )
    model: Any = build_outline(recipe)
    train, _ = open_training_data(recipe)
    plan = make_plan(recipe, len(train), math.prod(model.grid))
    _check_within("--steps", steps, plan.steps)
    _check_within("--positions", offsets, recipe.batch.global_samples)
    shown = [_step(recipe, model, train, plan, step, offsets) for step in steps]
    if arguments.json:
        print(json_text({"grid": list(model.grid), "steps": shown}))
        return
    for step in shown:
        _draw(step, model.grid)


def _step(
    recipe: Any, model: Any, train: Any, plan: Any, step: int, offsets: range
) -> dict[str, Any]:
    """The samples of a step as training would read and mask them."""
    import torch

    from r2mae.data.source import StreamDataset, block_samples
    from r2mae.data.stream import Stream
    from r2mae.masking.pattern import Role
    from r2mae.training.objective import MaskedPrediction

    positions = [step * recipe.batch.global_samples + offset for offset in offsets]
    batch = StreamDataset(
        train, Stream(len(train), recipe.seed, block_samples(train))
    ).__getitems__(positions)
    if "error" in batch:
        raise InputError(batch["error"])
    objective = MaskedPrediction(
        recipe.mask.law, recipe.mask.pattern, recipe.seed, plan.steps, model.masking
    )
    mask = objective.prepare(batch, step)["mask"]
    roles = model.masking.eligible(batch)
    is_eligible = roles if roles.dtype == torch.bool else roles >= int(Role.HIDEABLE)
    samples = [
        {
            "position": position,
            "index": int(batch["indices"][row]),
            "ratio": float(
                mask.is_masked[row].sum() / is_eligible[row].sum().clamp(min=1)
            ),
            "masked": mask.is_masked[row].nonzero()[:, 0].tolist(),
            "never": (~is_eligible[row]).nonzero()[:, 0].tolist(),
        }
        for row, position in enumerate(positions)
    ]
    return {"step": step, "tokens": is_eligible.shape[1], "samples": samples}


def _draw(step: dict[str, Any], grid: tuple[int, ...]) -> None:
    columns = grid[-1] if len(grid) > 1 else step["tokens"]
    for sample in step["samples"]:
        hidden, never = set(sample["masked"]), set(sample["never"])
        print(
            f"step {step['step']}  position {sample['position']}  sample {sample['index']}  "
            f"ratio {sample['ratio']:.4f}  hidden {len(hidden)} of {step['tokens'] - len(never)}"
        )
        signs = "".join(
            "#" if n in hidden else " " if n in never else "."
            for n in range(step["tokens"])
        )
        for first in range(0, len(signs), columns):
            print("  " + signs[first : first + columns])


def parse_range(option: str, text: str) -> range:
    """`A:B` as range(A, B).

    Raises: InputError for anything else, and for empty ranges.
    """
    first, colon, last = text.partition(":")
    if not (
        colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)
    ):
        raise InputError(f"{option} must be A:B with 0 <= A < B, got {text!r}.")
    return range(int(first), int(last))


def _check_within(option: str, chosen: range, limit: int) -> None:
    if chosen.stop > limit:
        raise InputError(
            f"{option} must end at {limit} or before, got {chosen.start}:{chosen.stop}."
        )
    if len(chosen) > 10_000:
        raise InputError(f"{option} must span at most 10,000, got {len(chosen)}.")
