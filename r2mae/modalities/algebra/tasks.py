"""`r2mae evaluate` on finite groups: spectrum, majority vote, stages; and the demo."""

from argparse import ArgumentParser, Namespace
from typing import Any

from r2mae.loaded_run import LoadedRun
from r2mae.modalities.algebra.lottery_tasks import (
    conclude_lottery,
    score_lottery,
    show_lottery,
)
from r2mae.modalities.algebra.picture_option import add_picture
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result

SINGLE = 0.95  # share of energy from which a neuron counts as single-component


def score_spectrum(
    loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace
) -> Result:
    """Which component each neuron learned, how purely, and how its layers are aligned."""
    import numpy as np

    from r2mae.metrics.interval import share_interval
    from r2mae.modalities.algebra import pictures, readout, uniformity

    picture = arguments.spectrum_picture
    neurons = readout.neurons_of(loaded.model, recipe.data.group)
    is_single = neurons.winning_shares >= SINGLE
    share, half_width = share_interval(is_single)
    counts = np.bincount(neurons.winners, minlength=len(neurons.components))
    angles = np.arccos(neurons.alignments.clip(-1, 1))
    if picture is not None:
        pictures.draw_spectrum(neurons, picture)
    logits = readout.product_logits(loaded.model)
    return {
        "neurons": len(is_single),
        "alive": int(readout.is_alive(neurons).sum()),
        "single_component": share,
        "half_width": half_width,
        "mean_winning_share": float(neurons.winning_shares.mean()),
        "components": [
            one.describe() | {"neurons": int(count)}
            for one, count in zip(neurons.components, counts, strict=True)
        ],
        "histogram_p": uniformity.histogram_p(neurons),
        "phases_p": uniformity.phases_p(neurons),
        "alignment_angle": {
            str(slot): float(row.mean())
            for slot, row in zip(neurons.triads, angles, strict=True)
        },
        "rank_one_share": float(neurons.rank_one_shares.mean()),
    } | readout.accuracies(loaded.model, logits)


def show_spectrum(result: Result) -> None:
    """Print a table of components, then one line for each read-out."""
    print("component         dimension  type          neurons")
    for row in result["components"]:
        print(
            f"{row['name']:<18}{row['dimension']:<11}{row['type']:<14}{row['neurons']}"
        )
    angles = ", ".join(
        f"{angle:.4f} rad with slot {slot} hidden"
        for slot, angle in result["alignment_angle"].items()
    )
    print(f"neurons with at least {SINGLE:.0%} of their energy in one component:")
    print(f"  {result['single_component']:.4f} ± {result['half_width']:.4f}")
    print(f"mean share of the winning component: {result['mean_winning_share']:.4f}")
    print(f"neurons that weight decay left: {result['alive']} of {result['neurons']}")
    print(f"alignment error: {angles}; rank-one share {result['rank_one_share']:.4f}")
    print(
        f"p-values: neurons evenly over basis functions {result['histogram_p']:.3g}, "
        f"uniform phases {result['phases_p']:.3g}"
    )
    print(
        f"accuracy of the product: {result['train_accuracy']:.4f} on triples that "
        f"train, {result['test_accuracy']:.4f} on the others"
    )


def conclude_spectrum(result: Result) -> str:
    """How many neurons learned one component."""
    angle = max(result["alignment_angle"].values())
    return (
        f"{result['single_component']:.1%} of {result['neurons']} neurons have learned "
        f"a single component (at least {SINGLE:.0%} of their energy); "
        f"{sum(row['neurons'] > 0 for row in result['components'])} of "
        f"{len(result['components'])} components are used. The output phase is the sum "
        f"of the input phases up to {angle:.3f} rad. The network is right on "
        f"{result['test_accuracy']:.1%} of the triples that it was not trained on."
    )


def score_vote(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """The network beside its winning components and the majority vote."""
    from r2mae.modalities.algebra import pictures, readout, vote

    picture = arguments.vote_picture
    neurons = readout.neurons_of(loaded.model, recipe.data.group)
    rows = vote.score_subsets(loaded.model, neurons)
    if picture is not None:
        pictures.draw_vote(rows, vote.vote_table(neurons), picture)
    return {"scores": vote.score_vote(loaded.model, neurons), "subsets": rows}


def show_vote(result: Result) -> None:
    """Print accuracies, and the share of the network's logits that each explains."""
    print(f"{'':<20}train accuracy  test accuracy  explains of the logits")
    for name, score in result["scores"].items():
        print(
            f"{name:<20}{score['train_accuracy']:<16.4f}{score['test_accuracy']:<15.4f}"
            f"{score['explained']:.4f}"
        )
    print("accuracy of the sum of n random neurons, all triples:")
    numbers = [f"{row['neurons']}: {row['accuracy']:.3f}" for row in result["subsets"]]
    print(f"  {', '.join(numbers)}")


def conclude_vote(result: Result) -> str:
    """What the vote explains."""
    score = result["scores"].get("vote")
    if score is None:
        return ""
    return (
        f"The majority vote of the neurons' components is right on "
        f"{score['test_accuracy']:.1%} of them, and explains {score['explained']:.1%} "
        "of the variance of the logits."
    )


def score_stages(loaded: LoadedRun, _recipe: AnyRecipe, arguments: Namespace) -> Result:
    """Stages of training from the run's curve."""
    from r2mae.modalities.algebra import pictures, stages

    picture = arguments.stages_picture
    model: Any = loaded.model
    every = model.curve.every_samples // loaded.recipe.batch.global_samples
    curve = stages.read_curve(model, every, loaded.manifest["step"])
    rows = stages.find_stages(curve)
    if picture is not None:
        pictures.draw_stages(curve, rows, picture)
    return {"stages": rows, "curve": curve}


def show_stages(result: Result) -> None:
    """Print a line for each stage, with its changes."""
    names = ("train_accuracy", "test_accuracy", "spectral_share", "weight_norm")
    print(f"{'stage':<16}{'steps':<16}" + "".join(f"{name:<20}" for name in names))
    for row in result["stages"]:
        steps = f"{row['start']}-{row['end']}"
        changes = [_arrow(*row["changes"][name]) for name in names]
        end = "" if row["finished"] else "  (not finished)"
        print(f"{row['stage']:<16}{steps:<16}" + "".join(changes) + end)


def _arrow(start: float, end: float) -> str:
    return f"{f'{start:.3g} -> {end:.3g}':<20}"


_DEMO = {
    "spectrum": (score_spectrum, show_spectrum, conclude_spectrum),
    "vote": (score_vote, show_vote, conclude_vote),
    "lottery": (score_lottery, show_lottery, conclude_lottery),
}


def add_demo_arguments(parser: ArgumentParser) -> None:
    """The options of all tasks of the demo."""
    for task in _DEMO:
        add_picture(task)(parser)


def score_demo(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """Spectrum, vote and lottery."""
    return {
        name: score(loaded, recipe, arguments) for name, (score, _, _) in _DEMO.items()
    }


def show_demo(result: Result) -> None:
    """Print each result."""
    for name, (_, show, _) in _DEMO.items():
        show(result[name])


def conclude_demo(result: Result) -> str:
    """What the neurons learned, and whether their initial weights name it."""
    spectrum, scores = result["spectrum"], dict(result["lottery"]["scores"])
    name, score = next(iter(scores.items()))
    largest = scores["largest initial energy"]
    return (
        f"The network is right on {spectrum['test_accuracy']:.1%} of the sums that it was "
        f"not trained on. {spectrum['single_component']:.1%} of its neurons have learned "
        "a single frequency. Initial weights predict which one for "
        f"{score['share_right']:.1%} ± {score['half_width']:.1%} of the neurons, by "
        f"{name}; the frequency of the largest initial energy is right for "
        f"{largest['share_right']:.1%} ± {largest['half_width']:.1%}."
    )
