"""An encoder read from any layer, with its tokens averaged or concatenated."""

import pytest
import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.evaluation.read_encoder import TokenReader, layer_number, read_encoder
from r2mae.evaluation.read_out import ReadOut
from r2mae.models.classifier import Classifier
from tests.modalities.vision.models.test_autoencoder import (
    UNEVEN,
    make,
    make_batch,
    make_mask,
)


class Tokens(nn.Module):
    """An encoder whose tokens are the samples' own; -1 is padding. It has no layers."""

    def embed_tokens(self, batch):
        return batch["values"], (batch["values"] != -1).all(dim=2)


def batch_of(*lengths, width=2):
    values = torch.full((len(lengths), max(lengths), width), -1.0)
    for row, length in enumerate(lengths):
        values[row, :length] = torch.arange(length * width).view(length, width)
    return {"values": values}


@pytest.mark.parametrize(
    ("layer", "number"), [(1, 1), (2, 2), (-1, 2), (-2, 1), ("last", 2)]
)
def test_layers_are_counted_from_the_input_or_from_the_end(layer, number):
    assert layer_number(make(), layer) == number


@pytest.mark.parametrize("layer", [3, -3, 0])
def test_a_layer_that_the_model_lacks_is_refused(layer):
    rule = f"--layer must be 1 to 2, or -1 to -2, for MaskedAutoencoder, got {layer}."
    with pytest.raises(InputError) as caught:
        read_encoder(make(), ReadOut(layer))
    assert str(caught.value) == f"{rule} Use another layer, or last."


def test_a_model_without_layers_has_one():
    model = Tokens()
    assert read_encoder(model, ReadOut(1)) is model
    with pytest.raises(InputError, match="must be 1 to 1, .* for Tokens, got 2"):
        read_encoder(model, ReadOut(2))


@torch.no_grad()
def test_a_layer_of_a_classifier_is_that_of_its_encoder():
    model, batch = make().eval(), make_batch()
    tuned = Classifier(model, 3)
    features = read_encoder(tuned, ReadOut(1)).embed(batch)
    assert torch.equal(features, read_encoder(model, ReadOut(1)).embed(batch))


@torch.no_grad()
def test_the_model_is_as_it_was_after_a_copy_was_read():
    model, batch = make().eval(), make_batch()
    before = model.embed(batch)
    names = [name for name, _ in model.named_parameters()]
    for pool in ("mean", "cls", "concat"):
        read_encoder(model, ReadOut(1, pool)).embed(batch)
    assert torch.equal(model.embed(batch), before)
    assert [name for name, _ in model.named_parameters()] == names


@torch.no_grad()
def test_poolings_of_a_vit():
    model, batch = make().eval(), make_batch()
    output = model.encoder.forward_features(model.pixels(batch))
    for pool, expected in (
        ("mean", output[:, 1:].mean(dim=1)),
        ("cls", output[:, 0]),
        ("concat", output[:, 1:].flatten(1)),
    ):
        features = read_encoder(model, ReadOut(pool=pool)).embed(batch)
        torch.testing.assert_close(features, expected)


def test_a_class_token_that_the_model_lacks_is_refused():
    rule = "--pool must be mean or concat for MaskedAutoencoder, which has no class"
    with pytest.raises(InputError, match=rule):
        read_encoder(make({"class_token": False}), ReadOut(pool="cls"))
    with pytest.raises(InputError, match="for Tokens, which has no class token"):
        read_encoder(Tokens(), ReadOut(pool="cls"))


def test_means_leave_out_padding():
    features = read_encoder(Tokens(), ReadOut(pool="mean")).embed(batch_of(3, 1))
    assert features.tolist() == [[2.0, 3.0], [0.0, 1.0]]


@pytest.mark.parametrize("later", [(3, 2), (2, 2), (4, 4)])
def test_concatenated_tokens_must_be_equally_many(later):
    reader = read_encoder(Tokens(), ReadOut(pool="concat"))
    assert reader.embed(batch_of(3, 3)).shape == (2, 6)
    rule = "equal numbers of tokens, got .* tokens. Use --pool mean."
    with pytest.raises(InputError, match=rule):
        reader.embed(batch_of(*later))


def test_concatenated_tokens_have_a_limit():
    reader = read_encoder(Tokens(), ReadOut(pool="concat"))
    assert reader.embed(batch_of(4, width=4096)).shape == (1, 16_384)
    reader = read_encoder(Tokens(), ReadOut(pool="concat"))
    rule = "at most 16,384 features a sample, got 4 tokens of 4,097. Use --pool mean."
    with pytest.raises(InputError, match=rule):
        reader.embed(batch_of(4, width=4097))


@pytest.mark.parametrize("counts", [[8] * 4, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@torch.no_grad()
def test_hidden_tokens_are_nan_in_their_place(pooling, counts):
    model, batch, mask = make().eval(), make_batch(), make_mask(counts)
    model.pooling = pooling
    reader = TokenReader(model, concatenate=True)
    prefix = int(pooling == "cls")
    assert reader.embed(batch).shape == (4, (prefix + 16) * 32)
    features = reader.embed(batch, mask).unflatten(1, (-1, 32))
    is_hidden = features.isnan().any(dim=2)
    assert torch.equal(is_hidden[:, prefix:], mask.is_masked)
    assert not is_hidden[:, :prefix].any()
    tokens, is_token = model.embed_tokens(batch, mask)
    assert torch.equal(features[~is_hidden], tokens[is_token])
