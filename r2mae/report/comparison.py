"""Numbers of finished or running runs, recipe keys that differ, and paired differences."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from r2mae.metrics.interval import none_if_nan, paired_interval
from r2mae.report.record import RunRecord
from r2mae.schema.section import shown
from r2mae.training.metric_log import metric_title
from r2mae.training.run_folder import flatten

_RATES = {
    "train/samples_per_second": "samples/s",
    "train/visible_tokens_per_second": "visible tokens/s",
}
_PAIRED = ("validation/", "probe/")


@dataclass(frozen=True)
class Difference:
    """Final values of one recipe minus those of the first run's, paired by seed.

    runs: names of the compared runs. half_width: of the 95 % interval over seeds
    (Student's t); None for one seed.
    """

    runs: list[str]
    reference: list[str]
    metric: str
    seeds: list[Any]
    difference: float
    half_width: float | None


def final_numbers(record: RunRecord) -> dict[str, float]:
    """Title -> last held-out losses and probes, training loss, median throughput."""
    numbers = final_metrics(record)
    named = {metric_title(name): value for name, value in numbers.items()}
    if "train/loss" in record.curves:
        named["train loss"] = record.curves["train/loss"][1][-1]
    for name, title in _RATES.items():
        if name in record.curves:
            named[title] = statistics.median(record.curves[name][1])
    return named


def final_metrics(record: RunRecord) -> dict[str, float]:
    """Last value of each metric on held-out samples."""
    names = sorted(name for name in record.curves if name.startswith(_PAIRED))
    return {name: record.curves[name][1][-1] for name in names}


def differing_keys(records: list[RunRecord]) -> dict[str, list[str]]:
    """Recipe key -> its value in each run, for keys whose values differ."""
    flat = [flatten(record.recipe) for record in records]
    differing = {}
    for key in sorted(set().union(*flat)):
        values = [shown(recipe.get(key)) for recipe in flat]
        if len(set(values)) > 1:
            differing[key] = values
    return differing


def paired_differences(records: list[RunRecord]) -> tuple[list[Difference], str]:
    """(differences, what could not be compared, or "").

    Runs of one recipe with several seeds count as repeats. Each other recipe is compared
    with the first run's over the seeds that both have, where task, data and step are the same,
    and where the values are finite.
    """
    groups = list(_by_recipe(records).values())
    reference, *others = groups
    rows: list[Difference] = []
    left_out = []
    for group in others:
        seeds = [seed for seed in group if seed in reference]
        pairs = [(group[seed], reference[seed]) for seed in seeds]
        same = [pair for pair in pairs if _is_comparable(*pair)]
        if not same:
            left_out += [record.name for record in group.values()]
        else:
            rows += _differences(same)
    notes = []
    if left_out:
        reason = "no run of the first recipe has the same task, seed, data and step"
        notes.append(f"Not compared: {', '.join(left_out)}, as {reason}.")
    diverged = [
        record.name
        for record in records
        if record.name not in left_out
        and not _are_finite(final_metrics(record).values())
    ]
    if others and diverged:
        names = ", ".join(diverged)
        notes.append(f"Not compared: values of {names} that are not finite.")
    return rows, " ".join(notes)


def _are_finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))


def _by_recipe(records: list[RunRecord]) -> dict[str, dict[Any, RunRecord]]:
    """Recipe without its seed -> seed -> the run."""
    groups: dict[str, dict[Any, RunRecord]] = {}
    for record in records:
        rest = {key: value for key, value in record.recipe.items() if key != "seed"}
        seed = record.recipe.get("seed")
        groups.setdefault(repr(rest), {}).setdefault(seed, record)
    return groups


def _is_comparable(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs had the same task, data and number of steps: losses of other tasks are other numbers."""
    tasks = one.recipe.get("task"), other.recipe.get("task")
    same_data = one.data_fingerprint == other.data_fingerprint
    return tasks[0] == tasks[1] and same_data and one.step == other.step


def _differences(pairs: list[tuple[RunRecord, RunRecord]]) -> list[Difference]:
    finals = [(final_metrics(one), final_metrics(other)) for one, other in pairs]
    shared = set.intersection(*({*one} & {*other} for one, other in finals))
    rows = []
    for metric in sorted(shared):
        both = [(one[metric], other[metric]) for one, other in finals]
        finite = [number for number, pair in enumerate(both) if _are_finite(pair)]
        if not finite:
            continue
        values, references = zip(*(both[number] for number in finite), strict=True)
        mean, half_width = paired_interval(values, references)
        compared = [pairs[number] for number in finite]
        rows.append(
            Difference(
                runs=[one.name for one, _ in compared],
                reference=[other.name for _, other in compared],
                metric=metric_title(metric),
                seeds=[one.recipe.get("seed") for one, _ in compared],
                difference=mean,
                half_width=none_if_nan(half_width),
            )
        )
    return rows


def to_json(records: list[RunRecord]) -> dict[str, Any]:
    """What `r2mae compare --json` prints."""
    rows, left_out = paired_differences(records)
    runs = [
        {
            "run": str(record.folder.path),
            "name": record.name,
            "law": record.law,
            "seed": record.recipe.get("seed"),
            "status": record.status.get("status"),
            "step": record.step,
            "steps": record.status.get("steps"),
            "numbers": final_numbers(record),
        }
        for record in records
    ]
    return {
        "runs": runs,
        "differing_keys": differing_keys(records),
        "paired_differences": [asdict(row) for row in rows],
        "not_compared": left_out,
    }
