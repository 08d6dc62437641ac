"""Reading metrics.csv, and titles of its metrics."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from r2mae.errors import InputError
from r2mae.training.run_folder import RunFolder

LOSS_AT = "validation/loss_at_"  # before the mask ratio
LOSS_TABLE = "validation/loss_by_mask_ratio"  # in loggers that show tables
PICTURE = "validation/pictures"  # in loggers that show images
_TITLES = {
    "probe/knn": "kNN accuracy",
    "probe/linear": "linear-probe accuracy",
    "probe/effective_rank": "effective rank",
}


def metric_title(name: str) -> str:
    """`validation/loss_at_0.5` as `validation loss at 0.5`."""
    if name.startswith(LOSS_AT):
        return f"validation loss at {name.removeprefix(LOSS_AT)}"
    return _TITLES.get(name, name.replace("/", " ").replace("_", " "))


def picture_of(folder: RunFolder, step: int) -> Path | None:
    """The picture of held-out samples that validation drew at a step, if it did."""
    path = folder.pictures / f"step_{step}.png"
    return path if path.is_file() else None


def loss_by_ratio(metrics: Mapping[str, float]) -> list[tuple[float, float]]:
    """(mask ratio, held-out loss) of the metrics of a step, by rising ratio."""
    return sorted(
        (float(name.removeprefix(LOSS_AT)), value)
        for name, value in metrics.items()
        if name.startswith(LOSS_AT)
    )


def read_metrics(folder: RunFolder) -> dict[int, dict[str, float]]:
    """{step: {metric: value}} of metrics.csv; empty where there is none.

    Raises: InputError for a value, or the mask ratio of a loss, that is not a number.
    """
    metrics: dict[int, dict[str, float]] = {}
    for step, row in numbered_rows(folder):
        _, metric, value = row.split(",")
        try:
            if metric.startswith(LOSS_AT):
                float(metric.removeprefix(LOSS_AT))
            metrics.setdefault(step, {})[metric] = float(value)
        except ValueError:
            raise InputError(
                f"{folder.metrics} must hold numbers, got {row!r}. Delete that row."
            ) from None
    return metrics


def numbered_rows(folder: RunFolder) -> Iterator[tuple[int, str]]:
    """(step, row) of metrics.csv, without rows that a crash cut off."""
    if not folder.metrics.is_file():
        return
    complete, _, _ = folder.metrics.read_text(errors="replace").rpartition("\n")
    for row in complete.splitlines()[1:]:
        number, *values = row.split(",")
        if len(values) == 2 and number.isdecimal():
            yield int(number), row
