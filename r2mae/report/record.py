"""A run as its folder describes it; neither data nor model is loaded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.schema.describe_law import describe_law
from r2mae.schema.document import load_document
from r2mae.schema.section import shown
from r2mae.training.metric_log import LOSS_AT, read_metrics
from r2mae.training.run_folder import RunFolder, existing_run

_STATUS: dict[str, type[Any]] = dict.fromkeys(("hardware", "versions"), dict)
_STATUS |= {"steps": int}
Curve = tuple[list[int], list[float]]  # steps and values


@dataclass(frozen=True)
class RunRecord:
    """A run, finished or not.

    name: of the folder, or its path where several runs share a name.
    status: run.json. manifest: of the last checkpoint; empty without one.
    curves: metric -> its values over steps.
    results: file name -> what `r2mae evaluate --json` printed.
    """

    name: str
    folder: RunFolder
    recipe: dict[str, Any]
    status: dict[str, Any]
    manifest: dict[str, Any]
    curves: dict[str, Curve]
    results: dict[str, dict[str, Any]]

    @property
    def law(self) -> str:
        """The mask-ratio law in words; "none" for fine-tuning."""
        mask = self.recipe.get("mask")
        return describe_law(mask) if isinstance(mask, dict) else "none"

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return max(steps[-1] for steps, _ in self.curves.values())

    @property
    def ratios(self) -> dict[float, Curve]:
        """Held-out loss over steps at each mask ratio, ratios rising."""
        names = [name for name in self.curves if name.startswith(LOSS_AT)]
        ratios = {float(name.removeprefix(LOSS_AT)): name for name in names}
        return {ratio: self.curves[ratios[ratio]] for ratio in sorted(ratios)}

    @property
    def data_fingerprint(self) -> str:
        """Of the training data; "" before the first checkpoint."""
        return str(self.manifest.get("data", {}).get("fingerprint", ""))

    @property
    def environment_fingerprint(self) -> str:
        """A hash of commit, versions and hardware: equal where they are."""
        parts = [self.status.get(key) for key in ("commit", "versions", "hardware")]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_records(paths: list[str]) -> list[RunRecord]:
    """A record of each run folder, with names of their own.

    Raises: InputError for a path that is not a run folder, that is named twice, or whose
        run has not logged a step.
    """
    resolved = [Path(path).resolve() for path in paths]
    for number, path in enumerate(resolved):
        if path in resolved[:number]:
            raise InputError(f"RUN must be named once, got {paths[number]} twice.")
    names = [path.name for path in resolved]
    is_unique = len(set(names)) == len(names)
    return [
        _read_record(path, name if is_unique else path)
        for path, name in zip(paths, names, strict=True)
    ]


def _read_record(path: str, name: str) -> RunRecord:
    folder = existing_run(path)
    recipe, status = load_document(folder.recipe), folder.read_status()
    _check_types(folder.recipe, recipe, {"seed": int})
    _check_types(folder.path / "run.json", status, _STATUS)
    metrics = read_metrics(folder)
    final = status.get("metrics")
    if not metrics and final:  # of a run that logs to other loggers only
        metrics = {int(status.get("step", 0)): final}
    curves: dict[str, Curve] = {}
    for step, values in sorted(metrics.items()):
        for metric, value in values.items():
            steps, numbers = curves.setdefault(metric, ([], []))
            steps.append(step)
            numbers.append(value)
    if not curves:
        raise InputError(
            f"{path} must have logged a step, got no metrics. Wait for the first ones, "
            "or continue its training."
        )
    results = _read_results(folder.path)
    return RunRecord(
        name, folder, recipe, status, _read_manifest(folder), curves, results
    )


def _read_manifest(folder: RunFolder) -> dict[str, Any]:
    """Of the last checkpoint, unchecked; `load_run` verifies what it loads."""
    last = folder.pointer("last")
    if last is None:
        return {}
    manifest = _read_json(last / "manifest.json")
    _check_types(last / "manifest.json", manifest, {"data": dict})
    return manifest


def _check_types(
    file: Path, document: dict[str, Any], types: dict[str, type[Any]]
) -> None:
    """Raise InputError for an entry of another type."""
    for key, expected in types.items():
        if key in document and not isinstance(document[key], expected):
            name = "a mapping" if expected is dict else "a whole number"
            raise InputError(
                f"{file}: {key} must be {name}, got {shown(document[key])}. Restore the file."
            )


def _read_results(path: Path) -> dict[str, dict[str, Any]]:
    """evaluate*.json and demo.json of a run folder."""
    files = [*sorted(path.glob("evaluate*.json")), *path.glob("demo.json")]
    return {file.name: _read_json(file) for file in files}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text())) if file.is_file() else {}
    except (ValueError, TypeError):
        raise InputError(
            f"{file} must be a JSON object, got something else. Delete or rename it."
        ) from None
