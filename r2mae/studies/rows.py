"""The comparisons of a study as rows of tables, for the report, CSV files and the terminal."""

from typing import Any

from r2mae.studies.plan import Study
from r2mae.studies.statistics import (
    Difference,
    compare,
    compare_to_fair,
    holm,
    mean_specialist_regret,
    regrets,
    specialist_regret,
)
from r2mae.studies.table import Table
from r2mae.studies.trial import is_finished, measurements_of
from r2mae.training.run_folder import RunFolder

Row = dict[str, Any]


def trial_rows(study: Study) -> list[Row]:
    """One row for each measurement of each finished trial."""
    rows = []
    for trial in study.trials:
        if not is_finished(study, trial):
            continue
        status = RunFolder(study.path(trial)).read_status()
        about = {"trial": trial.name, "law": trial.law, "seed": trial.seed}
        about |= dict(trial.variant) | {"steps": status["steps"]}
        about["seconds"] = status["seconds"]
        rows += [
            about | {"metric": name, "value": each.value}
            for name, each in measurements_of(study, trial).items()
        ]
    return rows


def comparison_rows(table: Table) -> list[Row]:
    """Each law against the fair and the hindsight fixed ratio, by metric."""
    rows = []
    fixed = list(table.fixed)
    for metric in table.metrics.values():
        fair = {law: compare_to_fair(metric, law, fixed) for law in table.laws if fixed}
        corrected = _corrected(table, fair)
        for law in table.laws:
            row = dict(table.variant) | {"metric": metric.name, "law": law}
            row |= {"mean": float(metric.values[law].mean()), "seeds": len(table.seeds)}
            if fixed:
                oracle = metric.best_of(fixed)
                row |= _entries("fair", fair[law]) | {"p_holm": corrected.get(law)}
                row |= _entries("oracle", compare(metric, law, oracle))
                row["oracle"] = oracle
            rows.append(row)
    return rows


def _corrected(table: Table, fair: dict[str, Difference]) -> dict[str, float]:
    """Holm's p-values of the laws that are not fixed."""
    laws = [law for law in table.random if law in fair]
    return dict(zip(laws, holm([fair[law].p_value for law in laws]), strict=True))


def _entries(name: str, difference: Difference) -> Row:
    return {
        f"gain_over_{name}": difference.mean,
        f"{name}_half_width": difference.half_width,
        f"{name}_verdict": difference.verdict,
        f"{name}_detectable": difference.detectable,
    }


def regret_rows(table: Table) -> list[Row]:
    """Regret of each law over all metrics, and to the specialists."""
    rows = []
    for law in table.laws:
        by_metric = regrets(table, law)
        worst = max(by_metric, key=lambda name: by_metric[name])
        row = dict(table.variant) | {"law": law}
        row |= {"mean_regret": sum(by_metric.values()) / len(by_metric)}
        row |= {"worst_regret": by_metric[worst], "worst_metric": worst}
        mean = mean_specialist_regret(table, law)
        if mean is not None:
            row |= {"specialist_regret": mean.mean}
            row |= {"specialist_half_width": mean.half_width}
        for ratio, excess in specialist_regret(table, law).items():
            row[f"excess_at_{ratio:g}"] = excess.mean
        rows.append(row)
    return rows


def summary_rows(table: Table, rows: list[Row]) -> list[Row]:
    """Wins, ties and losses of each law that is not fixed, over all measurements."""
    summary = []
    for row in regret_rows(table):
        verdicts = [r.get("fair_verdict") for r in rows if r["law"] == row["law"]]
        counts = {name: verdicts.count(name) for name in ("wins", "ties", "loses")}
        summary.append(row | counts)
    return sorted(summary, key=lambda row: float(row["mean_regret"]))
