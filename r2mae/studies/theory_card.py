"""The theory card of a study: what the linear theory predicts of its laws.

`theory.json` is a list of parts, each with the laws that it predicts, the time, and a
sha256 of its content and of the part before it. Laws that are added later get a part of
their own; a part is never written again.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from r2mae.advice import LawPrediction, LawPredictions, predict_laws
from r2mae.advice.recipe_data import read_token_values
from r2mae.data.atomic import write_atomic
from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError, InterruptedRun, first_line
from r2mae.law import MaskLaw, distribution_to_dict
from r2mae.recipe.load import parse_recipe
from r2mae.studies.plan import Study

_FILE = "theory.json"
_HASH = "sha256"
Part = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TheoryCard:
    """Predictions of a study's laws, in the parts in which they were written.

    A part: created, trials_started (run folders of its laws at that time), unavailable
    (why there are no predictions, or None), laws, data, previous, sha256.
    """

    parts: list[Part]

    @cached_property
    def laws(self) -> dict[str, LawPrediction]:
        """Predictions by law."""
        return {
            name: LawPrediction(**entry["prediction"])
            for part in self.parts
            for name, entry in part["laws"].items()
        }

    @property
    def data(self) -> Part | None:
        """What `LawPredictions` holds beside laws; None where nothing was predicted."""
        return next((part["data"] for part in self.parts if part["laws"]), None)

    @property
    def unavailable(self) -> str | None:
        """Why the theory predicts nothing; None where it does."""
        return None if self.laws else self.parts[-1]["unavailable"]


def read_theory_card(study: Study) -> TheoryCard | None:
    """The card of a study; None where it has none.

    Raises: InputError where it was changed since it was written.
    """
    parts = _read_parts(study.folder / _FILE)
    return TheoryCard(parts) if parts else None


def write_theory_card(study: Study, progress: Progress | None = None) -> list[str]:
    """Predict the laws of a study that have no prediction yet; returns their names.

    A failure is recorded in the card and tried again by the next call. It stops nothing.
    Laws with a schedule are left out: the theory compares constant distributions.

    progress: called with (done, total) half-samples of the data.

    Raises: InputError where the card was changed since it was written.
    """
    path = study.folder / _FILE
    with one_at_a_time(path):
        parts = [part for part in _read_parts(path) if part["laws"]]
        predicted = TheoryCard(parts).laws
        masks = {trial.law: trial.recipe.mask.law for trial in study.trials}
        laws = {
            name: law
            for name, law in masks.items()
            if law.schedule is None and name not in predicted
        }
        if not laws:
            return []
        content = _predict(study, laws, progress)
        content["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        content["trials_started"] = _count_started(study, set(laws))
        content["previous"] = parts[-1][_HASH] if parts else None
        parts.append(content | {_HASH: _sha256(content)})
        write_atomic(path, json.dumps(parts, indent=1) + "\n")
    return list(content["laws"])


def _predict(study: Study, laws: dict[str, MaskLaw], progress: Progress | None) -> Part:
    """Laws and data of a part, or the reason why there are none."""
    try:
        recipe = parse_recipe(study.base, study.name)
        tokens, num_rows = read_token_values(recipe)
        predictions = predict_laws(
            tokens,
            list(laws.values()),
            num_rows=num_rows,
            seed=recipe.seed,
            progress=progress,
        )
    except InterruptedRun:
        raise
    except InputError as error:
        return {"unavailable": str(error), "laws": {}, "data": None}
    except Exception as error:  # whatever it is, the study goes on
        reason = f"{type(error).__name__}: {first_line(error)}"
        return {"unavailable": reason, "laws": {}, "data": None}
    return {"unavailable": None} | _document(laws, predictions)


def _document(laws: dict[str, MaskLaw], predictions: LawPredictions) -> Part:
    data = asdict(predictions)
    each = dict(zip(laws, data.pop("laws"), strict=True))
    data["least_expected"] = distribution_to_dict(predictions.least_expected)
    entries = {
        name: {"mask": law.to_dict(), "prediction": each[name]}
        for name, law in laws.items()
    }
    return {"laws": entries, "data": data}


def _count_started(study: Study, laws: set[str]) -> int:
    trials = [trial for trial in study.trials if trial.law in laws]
    return sum(study.path(trial).exists() for trial in trials)


def _read_parts(path: Path) -> list[Part]:
    """The parts of a card, checked; none where there is no file."""
    if not path.exists():
        return []
    try:
        parts: list[Part] = json.loads(path.read_text())
        hashes = [None, *(part[_HASH] for part in parts)]
        is_unchanged = len(parts) > 0 and all(
            part[_HASH] == _sha256(part) and part["previous"] == previous
            for part, previous in zip(parts, hashes, strict=False)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        is_unchanged = False
    if not is_unchanged:
        raise InputError(
            f"{path} must be as it was written before training, got other content than "
            "its sha256 says. Restore it, or delete it to do without it."
        )
    return parts


def _sha256(part: Part) -> str:
    """Of a part's content without the hash itself."""
    content = {key: value for key, value in part.items() if key != _HASH}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
