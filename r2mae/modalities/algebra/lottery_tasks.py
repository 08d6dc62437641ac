"""`r2mae evaluate` on finite groups: what initial weights decide, and how fast."""

from argparse import Namespace
from typing import Any

from r2mae.loaded_run import LoadedRun
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result


def score_lottery(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """Each neuron's winner, predicted from its initial weights."""
    import numpy as np

    from r2mae.modalities.algebra import lottery, pictures, readout
    from r2mae.modalities.algebra.group import open_group
    from r2mae.modalities.algebra.spectrum import energies

    picture = arguments.lottery_picture
    group = open_group(recipe.data.group)
    name = recipe.data.group
    end = readout.neurons_of(loaded.model, name)
    start = readout.neurons_of(readout.initial_model(loaded), name)
    at_start = energies(start.components, start.functions).sum(axis=0)
    predictions = {
        "projected gradient flow": lottery.flow_winners(group, start),
        "largest initial energy": at_start.argmax(axis=0),
        "most frequent winner": np.full(
            len(end.winners), np.bincount(end.winners).argmax()
        ),
    }
    result: Result = {"neurons": len(end.winners)}
    if group.is_abelian and list(end.triads) == [2]:
        times = lottery.blow_up_times(start.components, start.functions)
        predictions = {"blow-up time": times.argmin(axis=0)} | predictions
        ordered = np.sort(times, axis=0)
        result["clear"] = _clear(ordered[1] / ordered[0], times, end.winners)
        if picture is not None:
            pictures.draw_lottery(times, end.winners, picture)
    scores = {
        title: _score(predicted == end.winners)
        for title, predicted in predictions.items()
    }
    return result | {"scores": scores}


def _score(hits: Any) -> Result:
    from r2mae.metrics.interval import share_interval

    share, half_width = share_interval(hits)
    return {"share_right": share, "half_width": half_width}


def _clear(ratios: Any, times: Any, winners: Any) -> Result:
    """Score of the half of the neurons whose first two blow-up times differ most."""
    import numpy as np

    is_clear = ratios >= np.median(ratios)
    hits = times.argmin(axis=0)[is_clear] == winners[is_clear]
    return {"least_ratio": float(np.median(ratios))} | _score(hits)


def show_lottery(result: Result) -> None:
    """Print the share of neurons whose winner each prediction names."""
    print(f"winners named by initial weights, of {result['neurons']} neurons")
    for name, score in result["scores"].items():
        print(f"  {name:<25}{score['share_right']:.4f} ± {score['half_width']:.4f}")
    clear = result.get("clear")
    if clear is not None:
        print(
            f"  blow-up time, if the second is {clear['least_ratio']:.2f} times the first "
            f"or longer: {clear['share_right']:.4f} ± {clear['half_width']:.4f}"
        )


def conclude_lottery(result: Result) -> str:
    """How often the initial weights name the winner."""
    scores = dict(result["scores"])
    name, score = next(iter(scores.items()))
    other = scores["largest initial energy"]
    return (
        f"Initial weights name the component of {score['share_right']:.1%} ± "
        f"{score['half_width']:.1%} of the neurons ({name}); the component that is "
        f"largest at the start is it in {other['share_right']:.1%}."
    )


def score_rates(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """Rates of phase alignment from the run's initial weights, measured and derived."""
    import numpy as np

    from r2mae.metrics.interval import mean_interval
    from r2mae.modalities.algebra import pictures, rates, readout

    picture = arguments.rates_picture
    model = readout.initial_model(loaded)
    neurons = readout.neurons_of(model, recipe.data.group)
    slopes = rates.measure_rates(model, neurons)
    if picture is not None:
        pictures.draw_rates(slopes, picture)
    ratios = slopes["measured"] / slopes["derived"]
    mean, half_width = mean_interval(ratios)
    correlation = np.corrcoef(slopes["measured"], slopes["derived"])[0, 1]
    return {
        "neurons": len(ratios),
        "ratio": mean,
        "half_width": half_width,
        "correlation": float(correlation),
        "largest_deviation": float(np.abs(ratios - 1).max()),
    }


def show_rates(result: Result) -> None:
    """Print the mean ratio of measured and derived rates."""
    print(
        f"rates of log misalignment of {result['neurons']} neurons: measured / derived "
        f"{result['ratio']:.4f} ± {result['half_width']:.4f}, correlation "
        f"{result['correlation']:.6f}, largest deviation {result['largest_deviation']:.2%}"
    )
