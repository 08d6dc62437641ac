"""What `embed` computes, as a function of plain tensors: the input of exporters.

Shapes: B samples, D features, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from r2mae.errors import InputError
from r2mae.models.classifier import Classifier

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class TensorInput:
    """An input of an exported model.

    shape: sizes; a name for each axis that may vary, "batch" first. An axis may be longer
        than another one: "columns + 2".
    meaning: how a user makes the tensor, in a line.
    """

    name: str
    shape: tuple[str | int, ...]
    meaning: str


@dataclass(frozen=True)
class Inference:
    """An encoder's features as a function of plain tensors.

    batch: an example of at least two samples, as `Encoder.embed` takes it.
    tensors: a batch -> the inputs by name.
    embed: the inputs by name -> (B, D), computed without data-dependent shapes.
    save_beside: writes the files that a user needs to make the inputs, such as a
        tokenizer; None where there are none.
    """

    inputs: tuple[TensorInput, ...]
    batch: dict[str, Any]
    tensors: Callable[[dict[str, Any]], Tensors]
    embed: Callable[[Tensors], Tensor]
    save_beside: Callable[[Path], None] | None = None

    def arguments(self, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        """The inputs of a batch, in order."""
        tensors = self.tensors(batch)
        return tuple(tensors[given.name] for given in self.inputs)


def encoder_of(model: Any) -> Any:
    """The encoder of a classifier, or the model itself."""
    return model.backbone if isinstance(model, Classifier) else model


def example_inference(model: Any) -> Inference:
    """The inference of an encoder with a method `example`, whose batches hold tensors.

    Raises: InputError for any other model.
    """
    encoder = encoder_of(model)
    if not hasattr(encoder, "example"):
        raise InputError(
            "RUN must be of a model with a method example to be exported to plain "
            f"tensors, got {type(encoder).__name__}. Override Wing.inference."
        )
    batch = encoder.example(2)
    inputs = tuple(
        TensorInput(name, ("batch", *tensor.shape[1:]), f"{name} of a batch")
        for name, tensor in batch.items()
    )
    return Inference(inputs, batch, lambda batch: batch, encoder.embed)


class InferenceModule(nn.Module):
    """(*inputs) -> (features (B, D),), and for a fine-tuned run (features, predictions).

    model: the run's model, a `Classifier` or an encoder.
    target: {"mean", "spread"} of a regression's targets, in whose units it predicts.
    """

    def __init__(
        self, model: Any, inference: Inference, target: dict[str, float] | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder_of(model)
        self.head = model.head if isinstance(model, Classifier) else None
        self.inference = inference
        self.is_regression = target is not None
        self.scale, self.shift = 1.0, 0.0
        if target is not None:
            self.scale, self.shift = target["spread"], target["mean"]

    @property
    def outputs(self) -> dict[str, tuple[str, Any]]:
        """Name -> (meaning, axes)."""
        features = ("features of a sample, as r2mae embed gives", "D")
        if self.head is None:
            return {"features": features}
        meaning = "predicted number" if self.is_regression else "logits of the classes"
        return {"features": features, "predictions": (meaning, "C")}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Features, and predictions where there is a head."""
        names = (given.name for given in self.inference.inputs)
        features = self.inference.embed(dict(zip(names, tensors, strict=True)))
        if self.head is None:
            return (features,)
        return features, self.head(features) * self.scale + self.shift

    @torch.no_grad()
    def expected(self, model: Any) -> tuple[Tensor, ...]:
        """What `embed` and the model itself give for the example batch."""
        batch = self.inference.batch
        if self.head is None:
            return (model.embed(batch),)
        return model.embed(batch), model(batch) * self.scale + self.shift
