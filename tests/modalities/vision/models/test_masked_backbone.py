import copy

import pytest
import timm
import torch
from timm.models import ResNet
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from r2mae.errors import InputError
from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.models.feature_map import FeatureMap
from r2mae.modalities.vision.models.masked_backbone import MaskedBackbone
from r2mae.modalities.vision.models.timm_encoder import create_encoder

# Architecture, image size, arguments: every layout of features, with BatchNorm and without.
BACKBONES = {
    "resnet": ("resnet18", 64, {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}),
    "convnext": (
        "convnext_atto",
        32,
        {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16], "patch_size": 1},
    ),
    "swin": (
        "swin_tiny_patch4_window7_224",
        32,
        {"embed_dim": 16, "depths": [2, 1], "num_heads": [2, 2], "window_size": 2},
    ),
    "mixer": ("mixer_s16_224", 32, {"num_blocks": 2, "embed_dim": 24, "patch_size": 8}),
    "beit, a class token": (
        "beit_base_patch16_224",
        32,
        {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2},
    ),
}
MAPS = {
    "resnet": FeatureMap("NCHW", (2, 2), 32, 16),
    "convnext": FeatureMap("NCHW", (4, 4), 8, 16),
    "swin": FeatureMap("NHWC", (4, 4), 8, 32),
    "mixer": FeatureMap("tokens", (4, 4), 8, 24),
    "beit, a class token": FeatureMap("tokens", (4, 4), 8, 16, num_prefix=1),
}
every_backbone = pytest.mark.parametrize("kind", BACKBONES)
UNEVEN = [3, 8, 15, 1]  # hidden patches of 16, a row


def make(kind, *, patch_size=None, normalize_targets=True, seed=0):
    """A backbone of 16 patches unless told otherwise, with every weight random, so that no zero hides a mistake."""
    torch.manual_seed(seed)
    name, image_size, arguments = BACKBONES[kind]
    encoder = create_encoder(
        name, image_size=image_size, channels=3, arguments=arguments
    )
    model = MaskedBackbone(
        encoder,
        image_size=image_size,
        patch_size=patch_size or image_size // 4,
        normalize_targets=normalize_targets,
        pixel_mean=(0.5, 0.4, 0.3),
        pixel_std=(0.2, 0.25, 0.3),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def make_batch(model, num=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    side = model.grid[0] * model.patch_size
    return {
        "images": torch.randint(
            0, 256, (num, 3, side, side), dtype=torch.uint8, generator=generator
        )
    }


def make_mask(counts, num_patches=16, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return build_mask(
        torch.stack(
            [
                torch.randperm(num_patches, generator=generator) < count
                for count in counts
            ]
        )
    )


def spread_over(model, patches):
    """(B, N) bool of patches as (B, 1, S, S) bool of pixels."""
    return model.unpatchify(
        patches[:, :, None].expand(-1, -1, 3 * model.patch_size**2)
    )[:, :1]


def changed(model, batch, where):
    """The batch with other pixels in the patches (B, N) named."""
    return {
        "images": torch.where(
            spread_over(model, where), 255 - batch["images"], batch["images"]
        )
    }


def run(model, batch, mask):
    """Predictions of a copy, and the buffers that it is left with: running statistics."""
    model = copy.deepcopy(model)
    torch.manual_seed(5)  # stochastic depth draws alike
    with torch.no_grad():
        return model(batch, mask).predictions, dict(model.named_buffers())


@every_backbone
def test_features_are_found_where_they_lie(kind):
    model = make(kind)
    assert model.feature_map == MAPS[kind]
    assert model.grid == (4, 4)
    assert model.embed(make_batch(model)).shape == (4, model.width)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("counts", [[8] * 4, UNEVEN], ids=["even", "padded"])
@every_backbone
def test_nothing_hidden_leaks(kind, counts, training):
    """Bit by bit: no prediction and no statistic knows what any sample hides; all know what any row shows."""
    model, mask = make(kind).train(training), make_mask(counts)
    batch = make_batch(model)
    before, statistics = run(model, batch, mask)
    after, statistics_after = run(model, changed(model, batch, mask.is_masked), mask)
    assert torch.equal(before, after)
    assert all(
        torch.equal(statistics[name], statistics_after[name]) for name in statistics
    )
    moved, moved_statistics = run(model, changed(model, batch, ~mask.is_masked), mask)
    assert ((moved - before).abs().amax(dim=(1, 2)) > 1e-4).all()
    if training and kind == "resnet":
        running = "encoder.bn1.running_mean"
        assert not torch.equal(
            statistics[running], dict(model.named_buffers())[running]
        )
        assert not torch.equal(statistics[running], moved_statistics[running])


def test_a_leak_through_statistics_would_be_found():
    """The same test on a model that normalises what is hidden with what is shown."""
    model, mask = make("resnet").train(), make_mask([8] * 4)
    leak = nn.BatchNorm2d(3)
    plain = model.pixels
    model.pixels = lambda batch: leak(plain(batch))
    batch = make_batch(model)
    with torch.no_grad():
        before = model(batch, mask).predictions
        after = model(changed(model, batch, mask.is_masked), mask).predictions
    assert not torch.equal(before, after)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_other_samples_reach_a_prediction_through_batch_statistics_alone(training):
    for kind in ("resnet", "convnext"):
        model = make(kind).train(training)
        batch, mask = make_batch(model), make_mask([8] * 4)
        last = torch.zeros_like(mask.is_masked)
        last[3] = ~mask.is_masked[3]
        before, after = (
            run(model, batch, mask)[0],
            run(model, changed(model, batch, last), mask)[0],
        )
        assert torch.equal(before[:3], after[:3]) != (kind == "resnet" and training)


def test_not_even_a_nan_passes():
    model, mask = make("convnext").train(), make_mask([8] * 4)
    patches = model.patchify(model.pixels(make_batch(model)))
    patches[mask.is_masked] = float("nan")
    assert model.decode(model.encode(patches, mask)).isfinite().all()


@pytest.mark.parametrize("normalize_targets", [True, False])
@every_backbone
def test_loss_is_the_squared_error_at_hidden_patches(kind, normalize_targets):
    model = make(kind, normalize_targets=normalize_targets).eval()
    batch, mask = make_batch(model), make_mask(UNEVEN)
    output = model(batch, mask)
    truth, expected = model.targets(model.patchify(model.pixels(batch))), 0.0
    for row, hidden in enumerate(UNEVEN):
        difference = output.predictions[row, :hidden] - truth[row][mask.is_masked[row]]
        expected += difference.square().mean(dim=1).sum().item()
    assert output.loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert output.loss.count.item() == sum(UNEVEN)
    output.loss.total.backward()
    for name, parameter in model.named_parameters():  # what DDP asks for
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("value", [0, 200, 255])
def test_flat_images_train(value):
    model = make("convnext").train()
    batch = {"images": torch.full((4, 3, 32, 32), value, dtype=torch.uint8)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(batch, make_mask([8] * 4))
    # The statistics are over all channels of a patch, as in MAE: grey in pixels is not one value once standardised.
    assert model.targets(model.patchify(model.pixels(batch))).isfinite().all()
    constant = torch.full((2, 16, 192), value / 255)
    assert not model.targets(constant).any()
    output.loss.total.backward()
    assert output.loss.total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


# Patches smaller than a cell, as large, larger: where they are predicted is where they lie.
PLACES = [
    ("resnet", 8), ("resnet", 16), ("resnet", 32), ("convnext", 4), ("convnext", 8), ("convnext", 16), ("swin", 2),
    ("swin", 8), ("swin", 16), ("mixer", 4), ("mixer", 8), ("mixer", 16), ("beit, a class token", 4),
]  # fmt: skip


def cell_of(model, patch):
    """Cells (rows, columns) that a patch overlaps, as (h * w,) bool."""
    row, column = divmod(patch, model.grid[1])
    size, stride, (rows, columns) = (
        model.patch_size,
        model.feature_map.stride,
        model.feature_map.grid,
    )
    top, left = torch.arange(rows) * stride, torch.arange(columns) * stride
    inside_rows = (top < (row + 1) * size) & (top + stride > row * size)
    inside_columns = (left < (column + 1) * size) & (left + stride > column * size)
    return (inside_rows[:, None] & inside_columns[None]).flatten()


@pytest.mark.parametrize(("kind", "patch_size"), PLACES)
def test_a_patch_is_predicted_from_the_cells_that_it_covers(kind, patch_size):
    model = make(kind, patch_size=patch_size)
    num_cells, num_patches = model.feature_map.grid[0] ** 2, model.grid[0] ** 2
    cells = torch.randn(1, num_cells, model.feature_map.width, requires_grad=True)
    predictions = model.decode(cells)
    for patch in range(0, num_patches, max(1, num_patches // 16)):
        (gradient,) = torch.autograd.grad(
            predictions[0, patch].sum(), cells, retain_graph=True
        )
        assert torch.equal(gradient[0].abs().sum(dim=1) > 0, cell_of(model, patch)), (
            patch
        )


@every_backbone
def test_a_cell_looks_at_its_own_place(kind):
    """Features as timm makes them weigh their own pixels most: rows and columns are not exchanged."""
    name, image_size, arguments = BACKBONES[kind]
    torch.manual_seed(0)
    encoder = create_encoder(
        name, image_size=image_size, channels=3, arguments=arguments
    )
    settings = {
        "normalize_targets": True,
        "pixel_mean": (0.5,) * 3,
        "pixel_std": (0.5,) * 3,
    }
    model = MaskedBackbone(
        encoder, image_size=image_size, patch_size=image_size // 4, **settings
    ).eval()
    rows, columns = model.feature_map.grid
    pixels = torch.randn(8, 3, image_size, image_size, requires_grad=True)
    cells = model.feature_map.cells(encoder.forward_features(pixels))
    own, other = 0.0, 0.0
    for row, column in [(0, columns - 1), (rows - 1, 0)]:
        weights = torch.randn(cells.shape[2])
        (gradient,) = torch.autograd.grad(
            (cells[:, row * columns + column] @ weights).sum(),
            pixels,
            retain_graph=True,
        )
        blame = (
            gradient.square()
            .sum(dim=(0, 1))
            .unflatten(0, (rows, -1))
            .unflatten(2, (columns, -1))
            .sum(dim=(1, 3))
        )
        own, other = own + blame[row, column].item(), other + blame[column, row].item()
    assert own > 2 * other


def test_a_planted_transposition_would_be_found():
    model = make("convnext")
    cells = torch.randn(1, 16, 16, requires_grad=True)
    crossed = model.decode(cells.unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2))
    (gradient,) = torch.autograd.grad(crossed[0, 1].sum(), cells)
    assert not torch.equal(gradient[0].abs().sum(dim=1) > 0, cell_of(model, 1))


@every_backbone
def test_learns_a_few_images(kind):
    torch.manual_seed(0)
    name, image_size, arguments = BACKBONES[kind]
    encoder = create_encoder(
        name, image_size=image_size, channels=3, arguments=arguments
    )
    settings = {
        "normalize_targets": False,
        "pixel_mean": (0.5,) * 3,
        "pixel_std": (0.5,) * 3,
    }
    model = MaskedBackbone(
        encoder, image_size=image_size, patch_size=image_size // 4, **settings
    )
    ramps = torch.linspace(0, 255, image_size).expand(3, image_size, -1).to(torch.uint8)
    batch = {
        "images": torch.stack(
            [ramps, ramps.flip(2), ramps.transpose(1, 2), ramps.transpose(1, 2).flip(1)]
        )
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        loss = model(batch, make_mask([8] * 4, seed=step % 4)).loss.mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.75 * sum(losses[:4])


@pytest.mark.parametrize("kind", ["resnet", "swin"])
@torch.no_grad()
def test_paint(kind):
    model = make(kind).eval()
    batch, mask = make_batch(model), make_mask(UNEVEN)
    original, given, filled = model.paint(batch, mask).unbind(1)
    hidden = spread_over(model, mask.is_masked).expand(-1, 3, -1, -1)
    assert torch.equal(original, batch["images"])
    assert torch.equal(filled[~hidden], batch["images"][~hidden])
    assert (given[hidden] != batch["images"][hidden]).float().mean() > 0.9


@every_backbone
def test_operations_are_those_that_run(kind):
    model = make(kind).train()
    batch, mask = make_batch(model, 2), make_mask([8, 8])
    with FlopCounterMode(display=False) as counter:
        model(batch, mask).loss.total.backward()
    assert model.training_flops(3) == model.training_flops(
        12
    )  # what is hidden is computed too
    if (
        kind == "convnext"
    ):  # torch counts the gradient of grouped weights as if they were whole
        assert 2 * model.training_flops(8) < counter.get_total_flops()
    else:
        assert 2 * model.training_flops(8) == pytest.approx(
            counter.get_total_flops(), rel=0.02
        )


@every_backbone
def test_activations_are_those_that_are_kept(kind):
    model, kept = make(kind).train(), []
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    for num in (2, 6):
        storages = {}

        def keep(tensor, storages=storages):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                storages[storage.data_ptr()] = storage
            return tensor

        batch, mask = make_batch(model, num), make_mask([8] * num)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(batch, mask)
        kept.append(sum(storage.nbytes() for storage in storages.values()))
        assert output.loss.total.requires_grad
    assert 4 * sum(model.saved_values(8)) == pytest.approx(
        (kept[1] - kept[0]) / 4, rel=0.02
    )


def test_costs_leave_the_random_state_and_statistics_alone():
    model = make("resnet").train()
    buffers, state = (
        copy.deepcopy(dict(model.named_buffers())),
        torch.random.get_rng_state(),
    )
    model.training_flops(8), model.saved_values(8)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(
        torch.equal(buffers[name], buffer) for name, buffer in model.named_buffers()
    )


@every_backbone
def test_outline_without_memory(kind):
    with torch.device("meta"):
        outline = make(kind)
    model = make(kind)
    assert outline.feature_map == model.feature_map
    assert outline.training_flops(8) == model.training_flops(8)
    assert outline.saved_values(8) == model.saved_values(8)
    assert [name for name, p in outline.named_parameters() if p.requires_grad] == [
        name for name, p in model.named_parameters() if p.requires_grad
    ]


def test_compiling_changes_nothing(monkeypatch):
    """Through dynamo and eager kernels: what inductor makes of a graph is torch's business."""
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function: compile_(function, backend="eager")
    )
    model = make("convnext")
    compiled = copy.deepcopy(model)
    compiled.compile_blocks()
    assert list(compiled.state_dict()) == list(model.state_dict())
    for num in (4, 3):
        batch, mask = make_batch(model, num), make_mask([8] * num)
        torch.testing.assert_close(
            compiled(batch, mask).predictions, model(batch, mask).predictions
        )
    torch._dynamo.reset()


def test_layers_rise_from_stem_to_head():
    layers = make("resnet").layers()
    assert layers["encoder.conv1.weight"] == 0
    assert (
        layers["encoder.layer4.0.conv1.weight"]
        > layers["encoder.layer1.0.conv1.weight"]
        > 0
    )


class NoMap(ResNet):
    def forward_features(self, x):
        return super().forward_features(x).mean(dim=(2, 3))


class AnotherMap(ResNet):
    def forward_features(self, x):
        return super().forward_features(x)[:, :, :-1]


class NoWord(ResNet):
    def forward_features(self, x):
        return super().forward_features(x)[:, :4]


def resnet(kind):
    block = timm.create_model("resnet18").layer1[0].__class__
    return kind(block, [1, 1, 1, 1], channels=[8, 8, 16, 16], num_classes=0)


MAP = "model.encoder must give a spatial feature map, got "
BAD = {
    "pooled": (
        lambda: resnet(NoMap),
        128,
        32,
        MAP + "'NoMap', which gives features of shape 16 an image",
    ),
    "another stride": (
        lambda: resnet(AnotherMap),
        128,
        32,
        "features of shape 16 x 3 x 4 an image where 4 x 4 cells",
    ),
    "a class token alone": (
        lambda: timm.create_model("pit_ti_224", num_classes=0),
        224,
        32,
        MAP + "'pit_ti_224'",
    ),
    "several outputs": (
        lambda: timm.create_model("crossvit_tiny_240", img_size=238, num_classes=0),
        238,
        None,
        "model.encoder",
    ),
    "stride": (
        lambda: resnet(ResNet),
        70,
        None,
        "data.image_size must be divisible by the stride 32 of ResNet, got 70. Use 64.",
    ),
    "patch off the stride": (
        lambda: resnet(ResNet),
        96,
        12,
        "model.patch_size must divide the stride 32 of ResNet or be a multiple of it, got 12. Use model.patch_size 8",
    ),
    "patch off the image": (
        lambda: resnet(ResNet),
        96,
        64,
        "data.image_size must be divisible by model.patch_size 64, got 96. Use model.patch_size 32",
    ),
    "one patch": (
        lambda: resnet(ResNet),
        32,
        None,
        "data.image_size must hold at least 2 x 2 patches of 32 pixels, got 32. Use model.patch_size 16",
    ),
    "a size it cannot take": (
        lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=0),
        64,
        None,
        "model.encoder swin_tiny_patch4_window7_224 must take images of data.image_size 64, got: ",
    ),
}


@pytest.mark.parametrize(
    ("build", "image_size", "patch_size", "message"), BAD.values(), ids=list(BAD)
)
def test_what_cannot_work_is_one_line(build, image_size, patch_size, message):
    settings = {
        "normalize_targets": True,
        "pixel_mean": (0.5,) * 3,
        "pixel_std": (0.5,) * 3,
    }
    with torch.device("meta"), pytest.raises(InputError) as caught:
        MaskedBackbone(
            build(), image_size=image_size, patch_size=patch_size, **settings
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_map_that_may_lie_either_way_is_refused():
    """As many features as rows: NCHW or NHWC, and no word of timm's."""
    settings = {
        "normalize_targets": True,
        "pixel_mean": (0.5,) * 3,
        "pixel_std": (0.5,) * 3,
    }
    with torch.device("meta"), pytest.raises(InputError, match="4 x 4 x 4 an image"):
        MaskedBackbone(resnet(NoWord), image_size=128, **settings)


def test_patches_of_one_value_are_not_normalised():
    encoder = create_encoder("resnet18", image_size=64, channels=1)
    with pytest.raises(InputError, match=r"model\.normalize_targets must be false"):
        MaskedBackbone(
            encoder,
            image_size=64,
            patch_size=1,
            normalize_targets=True,
            pixel_mean=(0.5,),
            pixel_std=(0.5,),
        )


@pytest.mark.parametrize("counts", [None, UNEVEN], ids=["complete", "hidden"])
@every_backbone
@torch.no_grad()
def test_tokens_are_the_cells_of_the_feature_map(kind, counts):
    """Hidden cells are tokens too: the backbone computes them from the learned patch."""
    model = make(kind).eval()
    batch = make_batch(model)
    masks = () if counts is None else (make_mask(counts),)
    tokens, is_token = model.embed_tokens(batch, *masks)
    rows, columns = MAPS[kind].grid
    assert tokens.shape == (4, rows * columns, MAPS[kind].width)
    assert is_token.all()
    if kind in ("resnet", "swin", "mixer"):  # others apply a norm to the mean
        means = tokens.mean(dim=1)
        torch.testing.assert_close(
            means, model.embed(batch, *masks), rtol=1e-4, atol=1e-5
        )


STAGES = {"resnet": 5, "convnext": 4, "swin": 2, "mixer": 2, "beit, a class token": 2}


@pytest.mark.parametrize("counts", [None, UNEVEN], ids=["complete", "hidden"])
@every_backbone
@torch.no_grad()
def test_layers_are_the_feature_maps_of_timm(kind, counts):
    model = make(kind).eval()
    batch = make_batch(model)
    masks = () if counts is None else (make_mask(counts),)
    assert model.num_layers == STAGES[kind]
    assert model.at_layer(STAGES[kind]) is model
    for layer in range(1, STAGES[kind]):
        early = model.at_layer(layer)
        tokens, is_token = early.embed_tokens(batch, *masks)
        assert tokens.shape[2] == model.encoder.feature_info[layer - 1]["num_chs"]
        assert is_token.all()
        torch.testing.assert_close(tokens.mean(dim=1), early.embed(batch, *masks))
    changed = batch | {"images": batch["images"].roll(1, dims=3)}
    assert not torch.equal(early.embed(changed), early.embed(batch))
