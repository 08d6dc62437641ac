import copy

import pytest
import torch
from torch._dynamo import config
from torch._dynamo.utils import counters

from r2mae.law import MaskLaw, UniformRatio
from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.timm_encoder import create_encoder

LEVELS = MaskLaw(UniformRatio(0.6, 0.9), levels=8).table(0.0)
GRID = (0.25, 0.5, 0.75)


@pytest.fixture(scope="module")
def models():
    """(eager, compiled), with the same weights."""
    torch.manual_seed(0)
    shape = {"patch_size": 4, "width": 32, "depth": 2, "heads": 2}
    encoder = create_encoder("vit_tiny_patch16_224", image_size=32, channels=3, **shape)
    decoder = {"decoder_depth": 2, "decoder_width": 16, "decoder_heads": 2}
    eager = MaskedAutoencoder(
        encoder,
        **decoder,
        normalize_targets=True,
        pixel_mean=(0.5,) * 3,
        pixel_std=(0.5,) * 3,
    )
    compiled = copy.deepcopy(eager)
    torch._dynamo.reset()
    counters.clear()
    with config.patch(recompile_limit=config.recompile_limit):
        compiled.compile_blocks()
        yield eager, compiled
    torch._dynamo.reset()


def mask_of(ratio, batch_size):
    """Of one ratio for all samples, or one for each."""
    ratios = list(ratio) if isinstance(ratio, tuple) else [ratio] * batch_size
    generator = torch.Generator().manual_seed(round(1000 * sum(ratios)))
    return build_mask(
        torch.stack(
            [
                torch.randperm(64, generator=generator) < round(64 * each)
                for each in ratios
            ]
        )
    )


def images(batch_size):
    return {"images": torch.randint(0, 256, (batch_size, 3, 32, 32), dtype=torch.uint8)}


def train(model, batch, ratio):
    """Loss and gradients of a step."""
    model.train().zero_grad()
    loss = model(batch, mask_of(ratio, len(batch["images"]))).loss.mean
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters() if p.requires_grad)]


@torch.no_grad()
def evaluate(model, batch, ratio):
    """Predictions and features, nothing recorded."""
    model.eval()
    return [
        model(batch, mask_of(ratio, len(batch["images"]))).predictions,
        model.embed(batch),
    ]


def graphs():
    return counters["stats"]["unique_graphs"]


def test_lengths_cause_no_recompile(models):
    eager, compiled = models
    assert list(compiled.state_dict()) == list(eager.state_dict())
    assert [name for name, _ in compiled.named_parameters()] == [
        name for name, _ in eager.named_parameters()
    ]
    before = graphs()
    for ratio in LEVELS[:2]:
        train(compiled, images(4), ratio)
    for ratio in GRID[:2]:
        evaluate(compiled, images(4), ratio)
    # Encoder and decoder, with gradients and without; the blocks of each share.
    assert graphs() - before == 4
    warm, worst = graphs(), 0.0
    with config.patch(error_on_recompile=True):
        for batch_size in (4, 3, 7):
            batch = images(batch_size)
            cases = [(train, ratio) for ratio in (*LEVELS, *GRID)] + [
                (evaluate, ratio) for ratio in (*GRID, *LEVELS)
            ]
            for run, ratio in cases:
                for found, wanted in zip(
                    run(compiled, batch, ratio), run(eager, batch, ratio), strict=True
                ):
                    worst = max(
                        worst,
                        (
                            (found - wanted).norm() / wanted.norm().clamp(min=1e-3)
                        ).item(),
                    )
    assert graphs() == warm
    assert worst < 1e-5
    # Were blocks run eagerly, nothing would recompile either: a graph of each kind is what ran.
    assert counters["frames"]["total"] == counters["frames"]["ok"]
    assert config.recompile_limit >= 16


def test_packed_lengths_cause_no_recompile(models):
    eager, compiled = models
    generator = torch.Generator().manual_seed(0)

    def ratios(batch_size):
        chosen = torch.randint(
            len(LEVELS), (batch_size - 2,), generator=generator
        ).tolist()
        return (0.25, *(float(LEVELS[level]) for level in chosen), 0.9)

    train(compiled, images(4), 0.5)
    evaluate(compiled, images(4), 0.5)
    before = graphs()
    for run in (train, train, evaluate, evaluate):
        run(compiled, images(4), ratios(4))
    # What precedes attention and what follows it, with gradients and without; the encoder's blocks share each.
    assert graphs() - before == 4
    warm, worst = graphs(), 0.0
    with config.patch(error_on_recompile=True):
        for batch_size in (4, 3, 7, 12):
            batch = images(batch_size)
            for run in (train, evaluate) * 5:
                drawn = ratios(batch_size)
                for found, wanted in zip(
                    run(compiled, batch, drawn), run(eager, batch, drawn), strict=True
                ):
                    worst = max(
                        worst,
                        (
                            (found - wanted).norm() / wanted.norm().clamp(min=1e-3)
                        ).item(),
                    )
    assert graphs() == warm
    assert worst < 1e-5
    assert counters["frames"]["total"] == counters["frames"]["ok"]


def test_compiled_blocks_may_recompute(models):
    eager, _ = models
    recomputing = copy.deepcopy(eager)
    recomputing.recompute_blocks()
    recomputing.compile_blocks()
    batch = images(4)
    for ratio in (0.5, (0.3, 0.5, 0.7, 0.7)):
        expected = train(eager, batch, ratio)
        torch.testing.assert_close(train(recomputing, batch, ratio), expected)
