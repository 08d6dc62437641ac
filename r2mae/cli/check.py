"""`r2mae check`: what a recipe means and costs, and whether a step of it would run on a GPU.

Builds the model, reads the data's index, trains nothing.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from r2mae.cli.arguments import add_set
from r2mae.json_text import json_text
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import is_study
from r2mae.schema.describe_law import describe_law
from r2mae.schema.document import write_document

_WIDTH = 12  # of the first column


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE ...`, `--set`, `--full` and `--rehearse`."""
    text = "recipe files, or names that r2mae recipe list shows"
    parser.add_argument("recipe", nargs="+", metavar="RECIPE", help=text)
    add_set(parser)
    full = "also print the resolved recipe and the cost at every mask ratio"
    parser.add_argument("--full", action="store_true", help=full)
    rehearse = "also run a training step on a fake GPU, with the recipe's world size"
    parser.add_argument("--rehearse", action="store_true", help=rehearse)


def run(arguments: argparse.Namespace) -> None:
    """Check every recipe; the first error ends the command."""
    studies = [path for path in arguments.recipe if is_study(path)]
    paths = [path for path in arguments.recipe if path not in studies]
    recipes = [(path, load_recipe(path, arguments.set)) for path in paths]
    from r2mae.recipe.summary import (
        summarize,
    )  # imports torch: recipe errors come first

    plans = {path: _study(path, arguments) for path in studies}
    reports = [(path, summarize(recipe)) for path, recipe in recipes]
    if arguments.rehearse:
        from r2mae.recipe.rehearse import rehearse

        for (_, recipe), (_, report) in zip(recipes, reports, strict=True):
            report["rehearsal"] = asdict(rehearse(recipe))
    if arguments.json:
        documents = dict(reports) | plans
        is_single = len(documents) == 1
        print(json_text(next(iter(documents.values())) if is_single else documents))
        return
    for path, plan in plans.items():
        count = f"{plan['laws']} laws, {plan['trials']} runs of {plan['recipe']}"
        print(f"{path}: a study of {count}; costs: r2mae study {path} --dry-run\n")
    for path, report in reports:
        _show(path, report, arguments.full)


def _study(path: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """{recipe, laws, trials} of a study file, after validating the recipe of each law."""
    from r2mae.studies.plan import load_study

    study = load_study(path, arguments.set)
    return {
        "recipe": study.section.recipe,
        "laws": len(study.section.laws),
        "trials": len(study.trials),
    }


def _show(path: str, report: dict[str, Any], full: bool) -> None:
    recipe = report["recipe"]
    print(f"{path}: {recipe['task']} on {recipe['modality']}, seed {recipe['seed']}")
    if full:
        print(f"\n{write_document(recipe).rstrip()}\n")
    _show_data(report["data"])
    trained, total = report["parameters"]["trained"], report["parameters"]["all"]
    encoder = recipe["model"].get("encoder") or f"{recipe['modality']} model"
    share = f"{trained:,} trained ({trained / total:.2%})"
    _line("model", f"{encoder}, {total:,} parameters, {share}")
    state, of_training = report["state_gib"], report["trained_state_gib"]
    parts = f"{_bytes(of_training)} of it gradients and moments"
    _line("memory", f"{_bytes(state)} of weights, gradients and moments, {parts}")
    if "plans" in report:
        _show_finetuning(report)
    else:
        _show_pretraining(report, full)
    for note in report["notes"]:
        _line("note", note)
    if "rehearsal" in report:
        _show_rehearsal(report["rehearsal"])
    print()


def _show_rehearsal(rehearsal: dict[str, Any]) -> None:
    """A line for the step, and one for each place where the host would wait."""
    data = ", on random samples" if rehearsal["has_stand_in"] else ""
    ranks = f"rank 0 of {rehearsal['world_size']}"
    memory = f"at least {rehearsal['nbytes'] / 2**30:.3g} GiB a device"
    waits = f"{len(rehearsal['waits'])} host waits"
    _line("rehearsed", f"a step of {ranks} on a fake GPU{data}: {memory}, {waits}")
    for place, count in rehearsal["waits"].items():
        _line("", f"{count} x {place}")
    if rehearsal["unused"]:
        names = ", ".join(rehearsal["unused"])
        _line("", f"no gradient reaches {names}: DDP would wait for it")


def _line(name: str, text: str) -> None:
    print(f"{name:<{_WIDTH}} {text}")


def _show_data(data: dict[str, str]) -> None:
    """Title and licence, then one line for each further entry."""
    titles = {"init_from": "starts from"}
    if "title" in data:
        _line("data", f"{data['title']}; licence: {data['licence']}")
    for name, text in data.items():
        if name not in ("title", "licence"):
            is_location = name == "location"
            _line("" if is_location else titles.get(name, name), text)


def _show_finetuning(report: dict[str, Any]) -> None:
    seeds = report["recipe"]["repeat"]["seeds"]
    is_counted = report["classes"] is not None
    classes = report["classes"] if is_counted else "unknown without the data"
    _line(
        "classes",
        f"{classes}; {seeds} seed{'s' * (seeds > 1)} for each number of labels",
    )
    for count, plan in report["plans"].items():
        note = "" if is_counted or count == "all" else " (planned as for all labels)"
        print(f"{count} labels per class{note}")
        _show_plan(plan)
        if "training_pflop" in plan:
            _line("cost", f"{_flop(plan['training_pflop'])} per seed")
            _show_validation_cost(plan, plan["training_pflop"])


def _show_plan(plan: dict[str, Any]) -> None:
    batch = (
        f"{plan['per_device_samples']} per device, "
        f"gradient accumulation {plan['accumulation']}"
    )
    epochs = f"{plan['epochs']:g} epochs of {plan['train_samples']:,} samples"
    _line(
        "steps", f"{plan['steps']:,} ({epochs}), {plan['warmup_steps']:,} for warm-up"
    )
    _line("batch", f"{batch}; peak learning rate {plan['peak_lr']:.3g}")
    every = f"every {plan['checkpoint_every_steps']} steps"
    _line("checkpoints", every)
    samples = f"on up to {plan['watch_samples']:,} samples"
    text = f"every {plan['watch_every_steps']} steps and at the end, {samples}"
    _line("validation", text)


def _show_validation_cost(plan: dict[str, Any], training_pflop: float) -> None:
    share = plan["watch_share"]
    validation = _flop(share * training_pflop)
    _line("", f"{validation} more for validation: {share:.1%} of training")


def _show_pretraining(report: dict[str, Any], full: bool) -> None:
    _show_mask(report)
    _show_plan(report["plan"])
    levels = report["levels"]
    steps = _range([level["step_tflop"] / 1000 for level in levels], _flop)
    memory = _range([level["activations_gib"] for level in levels], _bytes)
    _line("cost", f"{_flop(report['training_pflop'])} in total; {steps} per step")
    _show_validation_cost(report["plan"], report["training_pflop"])
    _line("activations", f"{memory} per device (estimated)")
    balance = report["independent_draws"]
    if balance and balance["cost"] >= 1.005:
        ranks, cost = balance["ranks"], f"{balance['cost']:.3g} times as much"
        separate = f"a separate ratio on each of {ranks} ranks would cost {cost}"
        _line("balance", f"one ratio per step for all ranks; {separate}")
    if full:
        _show_levels(levels)


def _show_mask(report: dict[str, Any]) -> None:
    """The law in one line, and where a schedule ends."""
    mask, tokens = report["recipe"]["mask"], report["plan"]["tokens_per_sample"]
    hidden = [level["masked"] for level in report["levels"]]
    law = f"{describe_law(mask, len(hidden))}, pattern {mask['pattern']}"
    low, high = min(hidden), max(hidden)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    _line("mask", f"{law}: {span} of {tokens:,} tokens")
    if report["levels_at_end"] != report["levels"]:
        ratios = [level["ratio"] for level in report["levels_at_end"]]
        _line("", f"at the end of training ratios {_range(ratios)}")


def _show_levels(levels: list[dict[str, Any]]) -> None:
    print("\nratio  masked  visible  TFLOP per step  activations GiB per device")
    for level in levels:
        print(
            f"{level['ratio']:5.3f}  {level['masked']:6d}  {level['visible']:7d}  "
            f"{level['step_tflop']:14.4g}  {level['activations_gib']:.3g}"
        )


def _plain(value: float) -> str:
    return format(value, ".4g")


def _range(values: list[Any], show: Callable[[Any], str] = _plain) -> str:
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} to {high}"


def _flop(pflop: float) -> str:
    """Floating-point operations in the unit that leaves 1 to 1,000 of them."""
    return _scaled(
        pflop * 1e15, 1000, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP")
    )


def _bytes(gib: float) -> str:
    """Memory in the unit that leaves 1 to 1,024 of it, at most GiB."""
    return _scaled(gib * 2**30, 1024, ("bytes", "KiB", "MiB", "GiB"))


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    number = 0
    while value >= base and number < len(units) - 1:
        value, number = value / base, number + 1
    return f"{value:.4g} {units[number]}"
