"""The study that a folder holds, in study.json: what may change when it continues."""

import json
import re
from pathlib import Path
from typing import Any

from r2mae.data.atomic import write_atomic
from r2mae.data.lock import one_at_a_time
from r2mae.errors import InputError
from r2mae.recipe.plan import MOST_SAMPLES
from r2mae.schema.section import validate
from r2mae.schema.study import StudySection

# Trials of further seeds and laws are added; primary changes only the report; recipe and
# set are names for what "base" holds; `_check_same_measurements` compares measure.
_FREE = ("seeds", "laws", "primary", "recipe", "set", "measure")
# Keys of `measure` that a trained run can still be measured by; their values are in the
# names of measurements. Losses at the ratios are measured while it trains.
_ADDABLE = {"probes", "labels_per_class", "hidden", "hide_in_training"}

# What a user calls a key of the document.
_NAMES = {"base": "recipe or set", "finetuning": "measure.finetune.recipe"}


def store_study(folder: Path, document: dict[str, Any]) -> None:
    """Write a study into its folder, with the laws and tasks that it had before.

    document: of a `StudySection`, with "base" and "finetuning".

    Raises: InputError where the folder holds another study.
    """
    file = folder / "study.json"
    with one_at_a_time(file):  # workers start together
        _store(file, document)


def _store(file: Path, document: dict[str, Any]) -> None:
    folder = file.parent
    if file.exists():
        earlier = _read_stored(file)
        check_same_names(folder, document)
        for key in document.keys() - set(_FREE):
            if earlier.get(key) != document[key]:
                _refuse(folder, _NAMES.get(key, key))
        tasks = earlier["measure"]["tasks"] | document["measure"]["tasks"]
        measure = document["measure"] | {"tasks": tasks}
        laws = earlier["laws"] | document["laws"]
        document = document | {"laws": laws, "measure": measure}
    write_atomic(file, json.dumps(document, indent=1) + "\n")


def check_same_names(folder: Path, document: dict[str, Any]) -> None:
    """Raise InputError where a law or a measurement has changed under the name of a stored one.

    document: as in `store_study`.
    """
    file = folder / "study.json"
    if file.exists():
        earlier = _read_stored(file)
        _check_same_laws(folder, earlier["laws"], document["laws"])
        _check_same_measurements(folder, earlier["measure"], document["measure"])


def _refuse(folder: Path, key: str) -> None:
    raise InputError(
        f"{folder} must hold the same study to continue, but its {key} differs. "
        "Choose another --name."
    )


def _check_same_laws(
    folder: Path, earlier: dict[str, Any], laws: dict[str, Any]
) -> None:
    """Raise InputError where a law has changed under its name: its trials are finished.

    So has a new law whose trials would be in the folders of an earlier one.
    """
    by_folder = {as_file_name(law).casefold(): law for law in earlier}
    for law, mask in laws.items():
        before = by_folder.get(as_file_name(law).casefold())
        if law in earlier and earlier[law] != mask:
            raise InputError(
                f"{folder}: law {law!r} must stay the same to continue, but it "
                "differs. Give the changed law another name."
            )
        if law not in earlier and before is not None:
            raise InputError(
                f"{folder}: law {law!r} must not have the trial folders of {before!r}, "
                "which the study had before. Give it another name."
            )


def _check_same_measurements(
    folder: Path, earlier: dict[str, Any], measure: dict[str, Any]
) -> None:
    """Raise InputError where a measurement has changed under its name; others may come and go."""
    for key in measure.keys() - _ADDABLE - {"tasks"}:
        if earlier[key] != measure[key]:
            _refuse(folder, f"measure.{key}")
    for name, task in measure["tasks"].items():
        is_changed = name in earlier["tasks"] and earlier["tasks"][name] != task
        if is_changed and _is_measured(folder, name):
            raise InputError(
                f"{folder}: measure.tasks.{name} must stay the same to continue, but it "
                "differs. Give the changed task another name."
            )


def _is_measured(folder: Path, name: str) -> bool:
    """Whether some trial has a measurement of that name."""
    files = folder.glob("trials/*/measurements.json")
    return any(json.dumps(name) in file.read_text() for file in files)


def _read_stored(file: Path) -> dict[str, Any]:
    """A stored study, with the defaults of keys that did not exist when it began.

    Raises: InputError for a damaged file.
    """
    try:
        document = dict(json.loads(file.read_text()))
    except (ValueError, TypeError):
        raise InputError(
            f"{file} must hold the study of its folder, got something else. Restore it, "
            "or choose another --name."
        ) from None
    # Studies began with null here, for which the cost of a step chose a number.
    watch = document.get("base", {}).get("watch", {})
    watch["samples"] = watch.get("samples") or MOST_SAMPLES
    keys = StudySection.model_fields.keys() & document.keys()
    section = validate(StudySection, {key: document[key] for key in keys}, str(file))
    return document | section.model_dump(mode="json")


def as_file_name(text: str) -> str:
    """Letters, digits and points of a text; anything else is a hyphen."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
