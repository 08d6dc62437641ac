"""The part of a study's report that holds its theory card against its measurements."""

from r2mae.page.markup import cell, data_table, paragraph
from r2mae.studies.figures import draw_theory
from r2mae.studies.table import Table
from r2mae.studies.theory_agreement import ALL, Agreement, Row, agreements, law_rows
from r2mae.studies.theory_card import TheoryCard

_NOTE = (
    "Predicted: mean excess risk over that of the best fixed ratio, minus 1, in the "
    "linear theory, over 72 scenarios, with 90 % intervals from half-samples of the "
    "data. Measured: mean regret to the best law of the study."
)
_INTERVALS = (
    "Kendall's tau is 1 where theory and measurement rank the laws alike, and 0 where "
    "their orders are unrelated. Laws that share a prediction count as one. Intervals "
    "(95 %) are over seeds and half-samples, for these laws; p is the chance of such a "
    "tau if the order of laws were random. Slope: points of measured regret for each "
    "point of predicted regret."
)


def theory_section(measured: Table, card: TheoryCard | None) -> str:
    """Tables, sentences and a figure; a sentence where there are no predictions."""
    if card is None:
        return paragraph(
            "This study has no theory card: no law without a schedule was predicted."
        )
    compared = agreements(measured, card)
    if not compared:
        reason = card.unavailable or "none of its laws is in the theory card."
        return paragraph(f"The theory predicts nothing of this study: {reason}")
    parts = ["<h3>Theory against measurement</h3>"]
    parts += [*map(paragraph, describe_card(card)), paragraph(_NOTE)]
    parts.append(_law_table(law_rows(measured, card)))
    parts.append(draw_theory(measured, card))
    parts += [paragraph(_INTERVALS), _agreement_table(compared)]
    parts.append(paragraph(describe_cost(compared[0])))
    return "".join(parts)


def describe_card(card: TheoryCard) -> list[str]:
    """When the card was written, and what it says of the data."""
    lines = []
    for part in card.parts:
        if not part["laws"]:
            lines.append(f"No predictions of later laws: {part['unavailable']}")
            continue
        started = part["trials_started"]
        when = "before any of their trials started"
        if started:
            when = f"after {started} of their trials had started: not a prediction"
        lines.append(
            f"Computed {part['created']} for {len(part['laws'])} laws, {when}. "
            f"sha256 {part['sha256']}."
        )
    data = card.data
    if data is None:
        return lines
    if data["no_advice"]:
        lines.append(f"The theory gives no advice here, because {data['no_advice']}.")
    low, high = data["best_fixed_band"]
    lines.append(
        f"N = {data['num_rows']:,} samples, d = {data['num_features']} features. Best "
        f"fixed ratio at convergence, for complete input: {data['best_fixed']:g} "
        f"({low:.2f} to {high:.2f})."
    )
    return lines


def describe_agreement(agreement: Agreement) -> str:
    """One line: rank correlation, and the cost of following the theory."""
    if agreement.tau is None or agreement.tau_band is None:
        rank = f"{agreement.points} different predictions, too few for a correlation"
    else:
        low, high = agreement.tau_band
        rank = (
            "Kendall's tau of predicted and measured regret "
            f"{agreement.tau:+.2f} ({low:+.2f} to {high:+.2f})"
        )
    return f"theory: {rank}. {describe_cost(agreement)}"


def describe_cost(agreement: Agreement) -> str:
    """What following the theory would have cost, in measured regret."""
    low, high = agreement.cost_band
    return (
        f"Following the theory ({' or '.join(agreement.choice)}) would have cost "
        f"{agreement.cost:.1%} ({low:.1%} to {high:.1%}) more regret than the best law; "
        f"a random choice, {agreement.random_cost:.1%}."
    )


def _law_table(rows: list[Row]) -> str:
    measured = [key for key in rows[0] if key.startswith("measured regret")]
    header = ["law", "predicted regret", "excess risk", "acts like"]
    header += [key.replace("measured regret", "measured") for key in measured]
    lines = []
    for row in rows:
        cells = [cell(row["law"])]
        cells += [cell("")] * 3
        if "predicted_regret" in row:
            low, high = row["predicted_low"], row["predicted_high"]
            cells[1] = cell(f"{row['predicted_regret']:.1%} ({low:.1%} to {high:.1%})")
            cells[2] = cell(f"{row['predicted_excess_risk']:.3g}")
            cells[3] = cell(f"{row['acts_like']:.2f}")
        cells += [cell(f"{row[key]:.2%}") for key in measured]
        lines.append("".join(cells))
    return data_table(header, lines)


def _agreement_table(compared: list[Agreement]) -> str:
    header = ["measurements", "Kendall's tau", "p", "slope", "predicted - measured"]
    header += ["cost of following the theory", "of a random choice"]
    lines = []
    for each in compared:
        name = each.kind if each.kind == ALL else f"{each.kind} ({each.count})"
        low, high = each.cost_band
        cells = [name, *_rank_cells(each), f"{each.mean_error:+.1%}"]
        cells += [f"{each.cost:.1%} ({low:.1%} to {high:.1%})"]
        cells += [f"{each.random_cost:.1%}"]
        lines.append("".join(map(cell, cells)))
    return data_table(header, lines)


def _rank_cells(agreement: Agreement) -> list[str]:
    """tau, p and slope; empty without a correlation."""
    if agreement.tau is None or agreement.tau_band is None:
        return ["", "", ""]
    cells = [f"{agreement.tau:+.2f} ({_span(agreement.tau_band, '+.2f')})"]
    cells.append(f"{agreement.p_value:.2f}")
    slope_band = agreement.slope_band or (0.0, 0.0)
    cells.append(f"{agreement.slope:+.3f} ({_span(slope_band, '+.3f')})")
    return cells


def _span(band: tuple[float, float], style: str) -> str:
    return f"{band[0]:{style}} to {band[1]:{style}}"
