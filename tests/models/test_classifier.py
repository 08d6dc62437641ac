import pytest
import timm
import torch

from r2mae.modalities.vision.models.image_encoder import ImageEncoder
from r2mae.models.classifier import Classifier, OrderedLogits


def make(freeze=False, pooling="mean", name="vit_tiny_patch16_224", **arguments):
    torch.manual_seed(0)
    shape = (
        {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
        if "vit" in name
        else {}
    )
    encoder = timm.create_model(name, num_classes=0, in_chans=3, **(shape | arguments))
    backbone = ImageEncoder(
        encoder, pooling=pooling, pixel_mean=(0.5,) * 3, pixel_std=(0.2,) * 3
    )
    return Classifier(backbone, 5, hidden=8, dropout=0.1, freeze=freeze)


def make_batch(num=4, size=16):
    generator = torch.Generator().manual_seed(1)
    return {
        "images": torch.randint(
            0, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator
        )
    }


def test_logits_and_features():
    model, batch = make().eval(), make_batch()
    assert model(batch).shape == (4, 5)
    assert model.embed(batch).shape == (4, model.width) == (4, 16)
    assert torch.equal(model(batch), model.head(model.embed(batch)))
    assert [type(part).__name__ for part in model.head] == [
        "Dropout",
        "Linear",
        "GELU",
        "Linear",
    ]


def test_pooling_by_mean_or_class_token():
    batch = make_batch()
    for pooling in ("mean", "cls"):
        backbone = make(pooling=pooling).eval().backbone
        tokens = backbone.encoder.forward_features(backbone.pixels(batch))
        wanted = tokens[:, 0] if pooling == "cls" else tokens[:, 1:].mean(dim=1)
        torch.testing.assert_close(backbone.embed(batch), wanted)


def test_a_frozen_encoder_neither_learns_nor_changes():
    model, batch = make(freeze=True, name="resnet18"), make_batch(size=32)
    before = {
        name: tensor.clone() for name, tensor in model.backbone.state_dict().items()
    }
    model.train()
    features = model.embed(batch)
    assert torch.equal(features, make(freeze=True, name="resnet18").eval().embed(batch))
    model(batch).sum().backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())
    assert all(
        torch.equal(tensor, before[name])
        for name, tensor in model.backbone.state_dict().items()
    )


def test_layers_deepen_from_stem_to_head():
    layers = make().layers()
    names = [
        name for name, _ in make().named_parameters() if name.startswith("backbone.")
    ]
    assert set(layers) == set(names)
    assert (
        layers["backbone.encoder.patch_embed.proj.weight"]
        == layers["backbone.encoder.pos_embed"]
        == 0
    )
    assert layers["backbone.encoder.blocks.0.attn.qkv.weight"] == 1
    assert layers["backbone.encoder.blocks.1.mlp.fc2.bias"] == max(layers.values()) == 2


@pytest.mark.parametrize("num_classes", [2, 3, 6])
def test_ordered_logits_are_differences_of_sigmoids(num_classes):
    shares = torch.arange(1.0, num_classes + 1)
    shares /= shares.sum()
    layer = OrderedLogits(num_classes).double()
    layer.start_at(shares)
    thresholds = torch.logit(shares.double().cumsum(0)[:-1])
    score = torch.tensor([[-30.0], [-0.7], [0.0], [2.0], [30.0]], dtype=torch.float64)
    above = torch.sigmoid(score - thresholds)  # P(class > k)
    ends = torch.ones_like(score), torch.zeros_like(score)
    expected = -torch.cat([ends[0], above, ends[1]], dim=1).diff(dim=1)
    logits = layer(score)
    torch.testing.assert_close(logits.exp(), expected, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(logits.exp()[2], shares.double(), rtol=1e-6, atol=0)
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(part.grad.isfinite().all() for part in layer.parameters())


def test_thresholds_stay_ordered_and_recover_a_model():
    """Maximum likelihood on samples of a proportional-odds model finds its thresholds."""
    generator = torch.Generator().manual_seed(0)
    thresholds = torch.tensor([-1.0, 0.2, 1.5])
    score = torch.randn(20_000, 1, generator=generator)
    noise = torch.logit(torch.rand(20_000, 1, generator=generator))
    classes = (score + noise > thresholds).sum(dim=1)
    layer = OrderedLogits(4)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=50)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(layer(score), classes)
        value.backward()
        return value

    optimizer.step(loss)
    gaps = torch.nn.functional.softplus(layer.raw_gaps)
    fitted = torch.cat([layer.lowest, layer.lowest + gaps.cumsum(0)]).detach()
    torch.testing.assert_close(fitted, thresholds, atol=0.08, rtol=0)
