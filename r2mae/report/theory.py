"""The linear theory's prediction beside a run's held-out loss over the mask ratio."""

import html
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.page.figure import plot_lines
from r2mae.page.markup import paragraph
from r2mae.report.record import RunRecord

if TYPE_CHECKING:  # the theory is loaded where there is a prediction only
    from r2mae.advice.ratio_risks import RatioRisks

_FILE = "theory_over_ratios.json"
_FEWEST = 3  # ratios; a line fits fewer exactly
_NAMES = {
    "one_map": "one linear map for all ratios",
    "own_maps": "a linear map for each ratio",
}
_NOTE = (
    "Predicted squared error of hidden tokens of this data under the run's law, in the "
    "linear theory at convergence. Each prediction is scaled to the held-out losses by "
    "the least-squares line whose slope is not negative, so only its shape is compared, "
    "and three ratios leave little to compare. The second prediction is of a model that "
    "sees its mask. One that falls where the losses rise becomes a flat line."
)


def write_theory(records: list[RunRecord]) -> None:
    """Predict from each run's training data; then store all predictions in the runs' folders.

    Raises: InputError for runs without finite held-out losses at 3 ratios, for laws with
        a schedule, and where the data is missing.
    """
    predictions = [_predict(record) for record in records]
    for record, predicted in zip(records, predictions, strict=True):
        text = json.dumps(asdict(predicted), indent=1)
        write_atomic(record.folder.path / _FILE, f"{text}\n")


def _predict(record: RunRecord) -> "RatioRisks":
    from r2mae.advice.ratio_risks import predict_over_ratios
    from r2mae.advice.recipe_data import read_token_values
    from r2mae.recipe.load import parse_recipe

    if len(record.ratios) < _FEWEST:
        raise InputError(
            f"--theory must have runs with held-out losses at {_FEWEST} mask ratios or "
            f"more, got {record.name} with {len(record.ratios)}. Leave it out."
        )
    losses = _losses(record)
    if not np.isfinite(losses).all():
        raise InputError(
            f"--theory must have runs with finite held-out losses, got {record.name} with "
            f"{', '.join(f'{loss:g}' for loss in losses)}. Leave it out."
        )
    recipe: Any = parse_recipe(record.recipe, str(record.folder.recipe))
    try:
        tokens, num_rows = read_token_values(recipe)
        return predict_over_ratios(
            tokens,
            recipe.mask.law,
            list(record.ratios),
            num_rows=num_rows,
            seed=recipe.seed,
        )
    except InputError as error:
        raise InputError(f"{record.name}: {error}") from None


def _losses(record: RunRecord) -> list[float]:
    """The last held-out loss at each mask ratio."""
    return [losses[-1] for _, losses in record.ratios.values()]


def theory_section(records: list[RunRecord]) -> str:
    """A figure and a sentence for each run with a stored prediction; "" for none."""
    parts = []
    for record in records:
        predicted = _read(record)
        if predicted is not None:
            parts.append(_compare(record, predicted))
    if not parts:
        return ""
    title = "<h2>Held-out loss over mask ratio, and the theory</h2>"
    return f'{title}{paragraph(_NOTE)}<div class="figures">{"".join(parts)}</div>'


def _read(record: RunRecord) -> "RatioRisks | None":
    """The stored prediction; None without one."""
    file = record.folder.path / _FILE
    if not file.is_file():
        return None
    from r2mae.advice.ratio_risks import RatioRisks

    try:
        predicted = TypeAdapter(RatioRisks).validate_json(file.read_bytes())
        is_of_run = predicted.ratios == list(record.ratios) and _is_complete(predicted)
    except ValueError:
        is_of_run = False
    if not is_of_run:
        raise InputError(
            f"{file} must hold a prediction for the ratios of its run, got other "
            "content. Delete it, or write it anew with --theory."
        )
    return predicted


def _is_complete(predicted: "RatioRisks") -> bool:
    """Whether both predictions have a finite number for each ratio."""
    curves = [getattr(predicted, name) for name in _NAMES]
    has_all = all(len(risks) == len(predicted.ratios) for risks in curves)
    return has_all and bool(np.isfinite(curves).all())


def _compare(record: RunRecord, predicted: "RatioRisks") -> str:
    measured = _losses(record)
    if not np.isfinite(measured).all():
        return paragraph(f"{record.name}: held-out losses are not finite.")
    lines = {"held-out loss": (predicted.ratios, measured)}
    sentences = []
    for key, name in _NAMES.items():
        risks = getattr(predicted, key)
        scaled = fit_line(risks, measured)
        lines[name] = (predicted.ratios, scaled)
        sentences.append(f"{name}: {_agreement(risks, scaled, measured)}")
    drawn = plot_lines(lines, "mask ratio", "loss", dashed=set(_NAMES.values()))
    facts = f"N = {predicted.num_rows:,}, d = {predicted.num_features:,}"
    text = f"{record.name}, step {record.step:,} ({facts}). {'; '.join(sentences)}."
    return f"<figure><figcaption>{html.escape(text)}</figcaption>{drawn}</figure>"


def fit_line(predicted: list[float], measured: list[float]) -> list[float]:
    """Predictions (R,) on the least-squares line of a slope of at least 0."""
    x, y = np.array(predicted), np.array(measured)
    from_mean = x - x.mean()
    spread = float(from_mean @ from_mean)
    slope = max(float(from_mean @ y) / spread, 0.0) if spread else 0.0
    scaled: list[float] = (y.mean() + slope * from_mean).tolist()
    return scaled


def _agreement(risks: list[float], scaled: list[float], measured: list[float]) -> str:
    from scipy import stats

    tau = float(stats.kendalltau(risks, measured).statistic)
    distance = float(np.abs(np.subtract(scaled, measured)).max())
    return (
        f"Kendall's tau {tau:+.2f}, within {distance:.2g} of the losses, which span "
        f"{float(np.ptp(measured)):.2g}"
    )
