"""A number of a run, and the names that measurements have.

M test items.
"""

import json
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from r2mae.evaluation.probe_input import ProbeInput
from r2mae.schema.study import MeasureSection, Probe

Better = Literal["higher", "lower"]

LOSS, _HIDDEN, FINETUNED = "held-out loss", " hidden", "fine-tuned"
IN_TRAINING = ", also in training"
PROBES, HIDDEN_PROBES = "probes", "probes, input partly hidden"
KINDS = (LOSS, FINETUNED, PROBES, HIDDEN_PROBES, HIDDEN_PROBES + IN_TRAINING)


@dataclass(frozen=True)
class Measurement:
    """One number of a run.

    items: (M,) the same number for each test item, of which it is the mean; None where
        items are not measured apart.
    """

    value: float
    better: Better
    items: npt.NDArray[np.float32] | None = None


Measurements = dict[str, Measurement]


def loss_name(ratio: float) -> str:
    """Name of the held-out loss at a mask ratio."""
    return f"{LOSS} at {ratio:g}"


def probe_name(probe: str, count: int | str, seen: ProbeInput) -> str:
    """Name of a probe's accuracy. count: labels per class."""
    name = f"{probe}, {_labels(count)}"
    if seen.hidden:
        name += f", {100 * seen.hidden:g}%{_HIDDEN}"
    return name + IN_TRAINING if seen.copied else name


def probe_inputs(measure: MeasureSection) -> list[ProbeInput]:
    """What the probes of each score see."""
    inputs = [ProbeInput(share) for share in measure.hidden]
    if measure.hide_in_training:
        inputs += [ProbeInput(share, copied=True) for share in measure.hidden if share]
    return inputs


def finetuned_name(count: int | str) -> str:
    """Name of the accuracy after fine-tuning with a number of labels per class."""
    return f"{FINETUNED}, {_labels(count)}"


def _labels(count: int | str) -> str:
    return "all labels" if count == "all" else f"{count} labels per class"


def measurement_names(measure: MeasureSection) -> set[str]:
    """Names of all measurements of a run."""
    names = {loss_name(ratio) for ratio in measure.ratios} | set(measure.tasks)
    for probe in measure.probes:
        for count in measure.labels_per_class:
            inputs = probe_inputs(measure)
            names |= {probe_name(probe, count, seen) for seen in inputs}
    if measure.finetune is not None:
        names |= {finetuned_name(count) for count in measure.finetune.labels_per_class}
    return names


def kind_of(name: str) -> str:
    """ "held-out loss", "probes", "probes, input partly hidden", the same with ", also in training", "fine-tuned".

    Of a task, the name.
    """
    for kind in (LOSS, FINETUNED):
        if name.startswith(kind):
            return kind
    if name.partition(",")[0] not in get_args(Probe):
        return name
    if name.endswith(IN_TRAINING):
        return HIDDEN_PROBES + IN_TRAINING
    return HIDDEN_PROBES if name.endswith(_HIDDEN) else PROBES


def to_json(measurements: Measurements) -> str:
    """Numbers by name; items are written apart."""
    document = {
        name: {"value": each.value, "better": each.better}
        for name, each in measurements.items()
    }
    return json.dumps(document, indent=1) + "\n"
