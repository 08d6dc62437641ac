"""The encoders that probes compare: the run's, an untrained one, and input features."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Kind = Literal["embed", "baseline"]
TRAINED = "pretrained"


class Compared(NamedTuple):
    """One set of features: its name, and the model and its method that compute them."""

    name: str
    model: Any
    kind: Kind


def compared_encoders(loaded: Any, baselines: bool) -> Iterator[Compared]:
    """The encoder of a `LoadedRun`; with baselines, also an untrained one and the modality's simple features."""
    yield Compared(TRAINED, loaded.model, "embed")
    if baselines:
        untrained = loaded.wing.build_model(loaded.recipe, loaded.num_classes)
        yield Compared("untrained", untrained.to(loaded.device), "embed")
        yield Compared(loaded.wing.baseline_name, loaded.model, "baseline")
