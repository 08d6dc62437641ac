"""`r2mae theory recommend`: which mask-ratio law for a recipe's data, by the linear theory."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_set
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.options import positive
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import find_recipe
from r2mae.schema.document import apply_overrides, load_document, write_document

# A test compares it with the table of docs/results.md.
CAUTION = (
    "In the studies of docs/results.md this did not rank the laws of networks better than "
    "chance: measure with r2mae study."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RECIPE`, `--output`, `--write` and `--bootstrap`."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="a pretraining recipe, or a name that r2mae recipe list shows",
    )
    add_set(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE.png", help="also draw the curves"
    )
    write = "write a recipe with this choice, RECIPE_<choice>.yaml"
    parser.add_argument(
        "--write", choices=("fixed", "least_regret", "schedule"), help=write
    )
    bands = "half-samples for the uncertainty bands; default 10"
    parser.add_argument(
        "--bootstrap", type=positive, default=10, metavar="B", help=bands
    )


def run(arguments: argparse.Namespace) -> None:
    """Compute advice from the recipe's data, print it, and write what the options name."""
    from r2mae.advice import check_picture_path, draw_advice, recommend
    from r2mae.advice.recipe_data import read_token_values
    from r2mae.progress import progress_bar

    recipe: Any = load_recipe(arguments.recipe, arguments.set, task="pretrain")
    beside = Path(arguments.recipe).with_name(
        f"{Path(arguments.recipe).stem}_{arguments.write}.yaml"
    )
    if arguments.write and beside.exists():
        raise InputError(f"{beside} must not exist yet, got a file. Move it away.")
    if arguments.output:
        check_picture_path(arguments.output)
    tokens, samples = read_token_values(recipe)
    advice = recommend(
        tokens,
        recipe.mask.law,
        num_rows=samples,
        bootstrap=arguments.bootstrap,
        seed=recipe.seed,
        progress=progress_bar("bootstrap", "half-samples"),
    )
    if arguments.json:
        print(json_text(_plain(advice)))
    else:
        _print(advice)
    if arguments.output:
        draw_advice(advice, arguments.output)
    if arguments.write:
        _write(arguments, advice, beside)
    if not arguments.json:
        print(CAUTION)


def _plain(advice: Any) -> dict[str, Any]:
    from r2mae.law import distribution_to_dict

    document = asdict(advice)
    document["law"] = distribution_to_dict(advice.law)
    for name in (
        "law_regret",
        "least_expected",
        "least_worst",
        "least_expected_fixed",
        "least_expected_uniform",
    ):
        document[name]["law"] = distribution_to_dict(getattr(advice, name).law)
    for plain, choice in zip(document["schedules"], advice.schedules, strict=True):
        plain["best_constant"] = distribution_to_dict(choice.best_constant)
    return document


def _print(advice: Any) -> None:
    if advice.no_advice:
        print(f"no advice for this data, because {advice.no_advice}")
    print(
        f"N = {advice.num_rows:,} samples, d = {advice.num_features} features of {advice.num_tokens} tokens "
        f"({advice.explained:.1%} of the variance), covariance shrunk by {advice.shrinkage:.3f}, "
        f"held-out gain {advice.held_out_gain:+.3f} nats per feature"
    )
    for warning in advice.warnings:
        print(f"caution: {warning}")
    low, high = advice.best_fixed_band
    print(
        "1. best fixed ratio, at convergence and for unmasked input: "
        f"{advice.best_fixed:g} ({low:.2f} to {high:.2f}), "
        f"with {advice.masking_gain:z.1%} less excess risk than without masks"
    )
    low, high = advice.law_excess_band
    equal = "ratios" if advice.objective == "downstream" else "masked tokens"
    print(
        f"2. this recipe's law, {_format_law(advice.law)}: acts like the fixed ratio "
        f"{advice.law_acts_like:.2f} (all {equal} weigh alike in its loss), excess risk "
        f"{_times(advice.law_excess)} that of the best fixed ratio ({_times(low)} to {_times(high)})"
    )
    _print_choices(advice)
    _print_schedules(advice)


def _print_choices(advice: Any) -> None:
    from r2mae.advice import is_at_edge

    print(
        "3. regret when the setting is uncertain "
        "(samples x 1/4 to 4, noise x 1 to 2, test ratio 0 to 0.75, training time):"
    )
    for text, law in (
        ("least expected regret", advice.least_expected),
        ("least worst regret", advice.least_worst),
        ("least expected among fixed ratios", advice.least_expected_fixed),
        ("least expected among uniform laws", advice.least_expected_uniform),
        ("this recipe's law", advice.law_regret),
    ):
        edge = " (at the edge of those tried)" if is_at_edge(law.law) else ""
        print(
            f"   {text}: {_format_law(law.law)}{edge}, expected {law.expected:.1%}, worst {law.worst:.1%}"
        )


def _print_schedules(advice: Any) -> None:
    """Line 4, and where the output is explained."""
    print(
        "4. a ratio that changes during training, compared with the best constant law:"
    )
    for choice in advice.schedules:
        low, high = choice.gain_band
        ramp = f"{choice.start:g} to {choice.end:g}"
        gain = f"{choice.gain:z.1%} ({low:z.1%} to {high:z.1%})"
        constant = _format_law(choice.best_constant)
        print(
            f"   training time {choice.train_time:g}: {ramp} has {gain} less excess risk than {constant}"
        )
    print(
        "This is a theory of linear regression on masked features; docs/theory.md explains each line."
    )


def _format_law(law: Any) -> str:
    from r2mae.law import distribution_to_dict

    ((name, fields),) = distribution_to_dict(law).items()
    return (
        f"{name} {json.dumps(fields)}"
        if name == "mixture"
        else f"{name} " + "-".join(f"{v:g}" for v in fields.values())
    )


def _times(excess: float) -> str:
    return f"{1 + excess:.3g} x"


def _choose(advice: Any, choice: str) -> tuple[Any, Any]:
    """(mask.ratio, mask.schedule or None) that `--write` names.

    Raises: InputError without advice, and for ratios at an edge of the grid.
    """
    from r2mae.advice import is_at_edge, linear_schedule, touches_edge
    from r2mae.law import FixedRatio

    if advice.no_advice:
        raise InputError(
            f"--write {choice} must follow from advice, got none for this data: "
            "nothing is written."
        )
    if choice == "schedule":
        ramp = max(advice.schedules, key=lambda schedule: schedule.gain)
        if ramp.start == ramp.end:
            raise InputError(
                "--write schedule must lower the risk, got a gain of 0: no ramp beats a "
                "constant ratio here."
            )
        ends, outside = f"{ramp.start:g} to {ramp.end:g}", touches_edge(ramp)
        ratio, schedule = linear_schedule(ramp)
    else:
        law = advice.least_expected.law
        ratio = FixedRatio(advice.best_fixed) if choice == "fixed" else law
        ends, outside, schedule = _format_law(ratio), is_at_edge(ratio), None
    if outside:
        raise InputError(
            f"--write {choice} must be inside the ratios tried, got {ends}, whose best "
            "value may lie beyond: nothing is written."
        )
    return ratio, schedule


def _write(arguments: argparse.Namespace, advice: Any, beside: Path) -> None:
    from r2mae.law import distribution_to_dict, schedule_to_dict

    ratio, schedule = _choose(advice, arguments.write)
    document = apply_overrides(
        load_document(find_recipe(arguments.recipe)), arguments.set
    )
    document["mask"]["ratio"] = distribution_to_dict(ratio)
    document["mask"].pop("schedule", None)
    if schedule is not None:
        document["mask"]["schedule"] = schedule_to_dict(schedule)
    source = f"{Path(arguments.recipe).name} with the {arguments.write} ratio"
    header = f"# {source} of: r2mae theory recommend. Unmeasured.\n"
    beside.write_text(header + write_document(document))
    print(f"written: {beside}")
