"""The encoders that probes compare: the run's, an untrained one, and input features."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from r2mae.evaluation.read_encoder import read_encoder

Kind = Literal["embed", "baseline"]
TRAINED = "pretrained"


class Compared(NamedTuple):
    """One set of features: its name, and the model and its method that compute them."""

    name: str
    model: Any
    kind: Kind


def compared_encoders(loaded: Any, baselines: bool) -> Iterator[Compared]:
    """The encoder of a `LoadedRun`; with baselines, an untrained one and simple features.

    Both encoders are read as `loaded.read_out` describes.
    """
    yield Compared(TRAINED, read_encoder(loaded.model, loaded.read_out), "embed")
    if baselines:
        untrained = loaded.wing.build_model(loaded.recipe, loaded.num_classes)
        encoder = read_encoder(untrained.to(loaded.device), loaded.read_out)
        yield Compared("untrained", encoder, "embed")
        yield Compared(loaded.wing.baseline_name, loaded.model, "baseline")
