"""Train and measure one trial of a study."""

import json
import math
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.evaluation.inference import inference
from r2mae.recipe.run import load_run
from r2mae.recipe.train import train_run
from r2mae.studies.finetuned import measure_finetuned
from r2mae.studies.measure import measure_run
from r2mae.studies.measurement import Measurement, Measurements, to_json
from r2mae.studies.plan import Study, Trial

_ITEMS = "items.npz"
_NUMBERS = "measurements.json"  # written last


def is_finished(study: Study, trial: Trial) -> bool:
    """Whether a trial is trained, and has all measurements of the study.

    One that is not finite does not count: measuring it again says what is wrong.
    """
    file = study.path(trial) / _NUMBERS
    if not file.is_file():
        return False
    try:
        measured = json.loads(file.read_text()).items()
        finite = {
            name for name, each in measured if math.isfinite(float(each["value"]))
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return True  # damaged, as `read_measurements` says
    return study.measurement_names <= finite


def lacks_measurements(study: Study, trial: Trial) -> bool:
    """Whether a trial was measured, but not all that the study file asks for."""
    is_measured = (study.path(trial) / _NUMBERS).is_file()
    return is_measured and not is_finished(study, trial)


def run_trial(study: Study, trial: Trial) -> None:
    """Train a trial, from its last checkpoint if any, and measure it; nothing if finished.

    A trained trial that lacks some measurement is measured anew, without training, and
    keeps those that are not in the study file.

    Raises: InputError for what the recipe cannot do; InterruptedRun after a signal.
    """
    if is_finished(study, trial):
        return
    path = study.path(trial)
    train_run(trial.recipe, path, source=trial.name)
    measurements = read_measurements(path) if (path / _NUMBERS).is_file() else {}
    # Features in float32 for every trial: rounding must not differ within a comparison.
    with inference(trial.recipe.hardware, precision="32-true"):
        measurements |= measure_run(load_run(str(path)), study.section.measure)
        finetuning = study.finetuning_of(trial, path)
        if finetuning is not None:
            measurements |= measure_finetuned(finetuning, path)
    items = {
        name: each.items
        for name, each in measurements.items()
        if each.items is not None
    }
    unfinished = path / f".{_ITEMS}"
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **items)  # type: ignore[arg-type]
    (path / _NUMBERS).unlink(missing_ok=True)  # it must not stand beside other items
    os.replace(unfinished, path / _ITEMS)
    write_atomic(path / _NUMBERS, to_json(measurements))


def measurements_of(study: Study, trial: Trial) -> Measurements:
    """The study's measurements of a finished trial. Raises: InputError for damaged files."""
    measured = read_measurements(study.path(trial))
    names = study.measurement_names
    return {name: each for name, each in measured.items() if name in names}


def read_measurements(path: Path) -> Measurements:
    """All measurements in a run folder. Raises: InputError for damaged files."""
    try:
        document = json.loads((path / _NUMBERS).read_text())
        with np.load(path / _ITEMS) as items:
            return {
                name: Measurement(float(each["value"]), each["better"], items.get(name))
                for name, each in document.items()
            }
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, BadZipFile):
        got = "other content"
    except FileNotFoundError as error:
        got = f"no {Path(str(error.filename)).name}"
    raise InputError(
        f"{path} must hold the measurements of its trial in {_NUMBERS} and {_ITEMS}, got "
        f"{got}. Delete {_NUMBERS}: `r2mae study` measures the trial again."
    )
