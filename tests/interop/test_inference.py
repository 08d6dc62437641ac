"""Features and predictions as functions of plain tensors."""

import pytest
import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.interop.inference import (
    Inference,
    InferenceModule,
    TensorInput,
    encoder_of,
    example_inference,
)
from r2mae.models.classifier import Classifier


class Encoder(nn.Module):
    """Sums of two inputs, weighted."""

    width = 3

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 3), nn.Linear(4, 3)

    def example(self, count):
        draw = torch.Generator().manual_seed(0)
        return {
            "left": torch.randn(count, 2, generator=draw),
            "right": torch.randn(count, 4, generator=draw),
        }

    def embed(self, batch):
        return self.left(batch["left"]) - self.right(batch["right"])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder().eval()


def test_an_example_names_the_inputs_and_their_shapes(encoder):
    inference = example_inference(Classifier(encoder, 2))
    assert [given.name for given in inference.inputs] == ["left", "right"]
    assert [given.shape for given in inference.inputs] == [("batch", 2), ("batch", 4)]
    assert len(inference.batch["left"]) == 2


def test_an_encoder_without_an_example_is_refused():
    with pytest.raises(InputError, match=r"got Linear\. Override Wing\.inference"):
        example_inference(nn.Linear(2, 2))


def test_the_encoder_of_a_classifier_is_its_backbone(encoder):
    assert encoder_of(Classifier(encoder, 2)) is encoder
    assert encoder_of(encoder) is encoder


def test_arguments_are_in_the_order_of_the_inputs(encoder):
    def tensors(batch):
        return {"right": batch["b"], "left": batch["a"]}

    inputs = (
        TensorInput("left", ("batch", 2), ""),
        TensorInput("right", ("batch", 4), ""),
    )
    example = encoder.example(2)
    batch = {"a": example["left"], "b": example["right"]}
    inference = Inference(inputs, batch, tensors, encoder.embed)
    left, right = inference.arguments(batch)
    assert left is example["left"]
    assert right is example["right"]
    (features,) = InferenceModule(encoder, inference)(left, right)
    torch.testing.assert_close(features, encoder.embed(example))


def test_a_pretraining_run_gives_features_alone(encoder):
    inference = example_inference(encoder)
    module = InferenceModule(encoder, inference)
    assert list(module.outputs) == ["features"]
    (features,) = module(*inference.arguments(inference.batch))
    (expected,) = module.expected(encoder)
    torch.testing.assert_close(features, expected, rtol=0, atol=0)


def test_a_classifier_gives_logits_too(encoder):
    model = Classifier(encoder, 5).eval()
    inference = example_inference(model)
    module = InferenceModule(model, inference)
    assert module.outputs["predictions"] == ("logits of the classes", "C")
    features, logits = module(*inference.arguments(inference.batch))
    torch.testing.assert_close(features, encoder.embed(inference.batch))
    torch.testing.assert_close(logits, model(inference.batch))
    assert logits.shape == (2, 5)


@pytest.mark.parametrize(("mean", "spread"), [(5.0, 3.0), (0.0, 1.0)])
def test_a_regression_predicts_in_the_units_of_its_targets(encoder, mean, spread):
    model = Classifier(encoder, 1).eval()
    inference = example_inference(model)
    module = InferenceModule(model, inference, {"mean": mean, "spread": spread})
    # Also of targets that are standardised already.
    assert module.outputs["predictions"] == ("predicted number", "C")
    _, numbers = module(*inference.arguments(inference.batch))
    standardised = model(inference.batch)
    torch.testing.assert_close(numbers, standardised * spread + mean)
    torch.testing.assert_close(numbers, module.expected(model)[1])
