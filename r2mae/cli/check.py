"""`r2mae check`: what a recipe means and costs. Builds the model, reads the data's index, trains nothing."""

import argparse
import json
import math
from typing import Any

from r2mae.cli.arguments import add_set
from r2mae.recipe.load import load_recipe
from r2mae.schema.document import write_document
from r2mae.schema.recipe import recipe_document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE ...`, `--set` and `--full`."""
    parser.add_argument("recipe", nargs="+", metavar="RECIPE", help="recipe files")
    add_set(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="also print the whole resolved recipe and every level",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check every recipe; the first that cannot work ends it."""
    reports = [(path, inspect(path, arguments.set)) for path in arguments.recipe]
    if arguments.json:
        print(json.dumps(dict(reports) if len(reports) > 1 else reports[0][1]))
        return
    for path, report in reports:
        _print(path, report)


def inspect(path: str, overrides: list[str]) -> dict[str, Any]:
    """Everything that follows from a recipe, as plain data.

    Raises: InputError with the first thing that cannot work.
    """
    recipe = load_recipe(path, overrides)
    from r2mae.recipe.assembly import count_training_samples
    from r2mae.training.run_folder import is_here

    samples, data = count_training_samples(recipe)
    source = recipe.model.init_from
    if source is not None:
        data |= {
            "init_from": f"{source}: {'fits' if is_here(source) else 'not here, not looked at'}"
        }
    inspect_task = (
        _inspect_finetuning if recipe.task == "finetune" else _inspect_pretraining
    )
    return {"recipe": recipe_document(recipe), "data": data} | inspect_task(
        recipe, samples
    )


def _inspect_pretraining(recipe: Any, samples: int) -> dict[str, Any]:
    from dataclasses import asdict

    from r2mae.recipe.assembly import build_outline
    from r2mae.recipe.plan import make_plan

    model: Any = build_outline(recipe)
    plan = make_plan(recipe, samples, math.prod(model.grid))
    return {
        **_parameters(model),
        "plan": asdict(plan),
        "levels": [
            _level(recipe, model, plan, float(ratio))
            for ratio in recipe.mask.law.table(0.0)
        ],
        "levels_at_end": [
            _level(recipe, model, plan, float(ratio))
            for ratio in recipe.mask.law.table(1.0)
        ],
        "training_pflop": _training_pflop(recipe, model, plan),
        "independent_draws": _independent_draws(recipe, model, plan),
    }


def _inspect_finetuning(recipe: Any, samples: int) -> dict[str, Any]:
    """A plan a number of labels; where the data is not here, classes are taken as 2 and nothing is counted."""
    from dataclasses import asdict

    import torch

    from r2mae.recipe.assembly import build_outline, is_data_here, open_split
    from r2mae.recipe.plan import make_plan
    from r2mae.recipe.tasks import choose_labelled, find_classes, open_labelled

    if not is_data_here(recipe):
        plans = {
            str(count): asdict(make_plan(recipe, samples, None))
            for count in recipe.repeat.labels_per_class
        }
        return {**_parameters(build_outline(recipe, 2)), "classes": 2, "plans": plans}
    train = open_labelled(recipe)[0]
    classes = (
        1
        if recipe.tune.regression
        else len(find_classes(recipe, open_split(recipe, "train")))
    )
    model: Any = build_outline(recipe, classes)
    rows = torch.arange(2) % len(train)
    flops = model.training_flops(
        train.load(rows, rows, 0)
    )  # positions: as training reads them
    plans = {}
    for count in recipe.repeat.labels_per_class:
        repeat = recipe.repeat.model_copy(update={"labels_per_class": (count,)})
        few = choose_labelled(recipe.model_copy(update={"repeat": repeat}), train)
        plan = make_plan(recipe, len(few), None)
        work = flops * plan.steps * recipe.batch.global_samples / 1e15
        plans[str(count)] = asdict(plan) | {"training_pflop": work}
    return {**_parameters(model), "classes": classes, "plans": plans}


def _parameters(model: Any) -> dict[str, Any]:
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    return {
        "parameters": {"all": total, "trained": trained},
        "state_gib": round((total * 4 + trained * 12) / 2**30, 3),
    }


def _level(recipe: Any, model: Any, plan: Any, ratio: float) -> dict[str, Any]:
    """What a step at one ratio costs: tokens, operations of all devices, activations of one device."""
    import torch

    from r2mae.masking.pattern import count_masked

    hidden = int(
        count_masked(
            torch.tensor([plan.tokens_per_sample]),
            torch.tensor([ratio], dtype=torch.float64),
        )
    )
    visible = plan.tokens_per_sample - hidden
    memory = model.saved_values(visible)
    narrow_bytes = 2 if recipe.hardware.precision == "bf16-mixed" else 4
    activations = plan.per_device_samples * (
        memory.wide * 4 + memory.narrow * narrow_bytes
    )
    return {
        "ratio": ratio,
        "masked": hidden,
        "visible": visible,
        "step_tflop": model.training_flops(visible)
        * recipe.batch.global_samples
        / 1e12,
        "activations_gib": activations / 2**30,
    }


def _training_pflop(recipe: Any, model: Any, plan: Any) -> float:
    """Expected operations of the whole training, the law's schedule included."""
    moments = (
        [0.5]
        if recipe.mask.schedule is None
        else [(part + 0.5) / 20 for part in range(20)]
    )
    costs = [
        _level(recipe, model, plan, float(ratio))["step_tflop"]
        for moment in moments
        for ratio in recipe.mask.law.table(moment)
    ]
    return float(plan.steps * sum(costs) / len(costs) / 1e3)


def _independent_draws(recipe: Any, model: Any, plan: Any) -> dict[str, Any] | None:
    """How much dearer steps would be if every rank drew its own ratio, and all waited for the last.

    One rank stands for a law that is tried out: 8 are taken then. None where every sample has its own ratio.
    """
    from r2mae.law import expected_greatest

    if recipe.mask.scope != "step":
        return None
    replicas = recipe.hardware.nodes * recipe.hardware.devices
    ranks = replicas if replicas > 1 else 8
    costs = [
        _level(recipe, model, plan, float(ratio))["step_tflop"]
        for ratio in recipe.mask.law.table(0.0)
    ]
    return {
        "ranks": ranks,
        "cost": expected_greatest(costs, ranks) / (sum(costs) / len(costs)),
    }


def _print(path: str, report: dict[str, Any]) -> None:
    print(f"# {path}\n{write_document(report['recipe']).rstrip()}\n")
    print(f"data         {report['data']['title']}")
    print(
        f"             {report['data']['found']}; licence: {report['data']['licence']}"
    )
    if "alignment" in report["data"]:
        print(f"             {report['data']['alignment']}")
    if "init_from" in report["data"]:
        print(f"starts from  {report['data']['init_from']}")
    print(
        f"parameters   {report['parameters']['all']:,} ({report['parameters']['trained']:,} trained)"
    )
    print(
        f"memory       {report['state_gib']:.3g} GiB weights, gradients and moments; activations besides"
    )
    if "plans" in report:
        print(
            f"classes      {report['classes']}; {report['recipe']['repeat']['seeds']} seeds of each row"
        )
        for count, plan in report["plans"].items():
            print(f"\n{count} labels a class")
            _print_plan(plan)
        return
    _print_plan(report["plan"])
    _print_levels(report)


def _print_plan(plan: dict[str, Any]) -> None:
    if plan["tokens_per_sample"] is not None:
        print(f"tokens       {plan['tokens_per_sample']} a sample")
    print(
        f"steps        {plan['steps']:,} ({plan['epochs']:g} epochs of {plan['train_samples']:,} samples), "
        f"{plan['warmup_steps']:,} of them warm-up"
    )
    print(
        f"batch        {plan['per_device_samples']} a device x {plan['accumulation']} accumulated"
    )
    print(f"peak lr      {plan['peak_lr']:.3g}")
    print(
        f"saved        every {plan['checkpoint_every_steps']} steps; measured every {plan['watch_every_steps']}"
    )
    if "training_pflop" in plan:
        print(f"training     {plan['training_pflop']:.4g} PFLOP a seed")


def _print_levels(report: dict[str, Any]) -> None:
    levels = report["levels"]
    print(
        "\nratio  hidden  visible  TFLOP a step  activations GiB a device (estimates)"
    )
    for level in levels:
        print(
            f"{level['ratio']:5.3f}  {level['masked']:6d}  {level['visible']:7d}  {level['step_tflop']:12.4g}  "
            f"{level['activations_gib']:.3g}"
        )
    if report["levels_at_end"] != levels:
        print(
            f"at the end   ratios {', '.join(format(level['ratio'], '.3f') for level in report['levels_at_end'])}"
        )
    print(f"training     {report['training_pflop']:.4g} PFLOP in all")
    if balance := report["independent_draws"]:
        draws = f"independent draws on {balance['ranks']} ranks would cost {balance['cost']:.3g} times as much"
        print(f"balanced     one draw a step for all ranks; {draws}")
    print()
