import pytest
import timm
import torch

from r2mae.errors import InputError
from r2mae.masking.mask import build_mask
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.positions import sincos_positions
from r2mae.modalities.vision.models.timm_encoder import create_encoder

# What encoders differ in: prefix tokens, whether these have positions, a norm before the blocks.
ENCODERS = {
    "class token": {},
    "registers": {"reg_tokens": 4},
    "registers without positions": {"reg_tokens": 4, "no_embed_class": True},
    "no class token": {"class_token": False},
    "registers alone": {"class_token": False, "reg_tokens": 2, "no_embed_class": True},
    "norm before blocks": {"pre_norm": True},
    "no positions": {"pos_embed": "none"},
    "normed queries and scaled layers": {"qk_norm": True, "init_values": 0.1},
}
every_encoder = pytest.mark.parametrize(
    "options", ENCODERS.values(), ids=list(ENCODERS)
)
UNEVEN = [3, 8, 15, 1]  # hidden patches of 16, a row


def make(options=None, *, normalize_targets=True, patch_size=8, channels=3, seed=0):
    """A model of 32 x 32 images with every weight random, so that no zero hides a mistake."""
    torch.manual_seed(seed)
    shape = {
        "img_size": 32,
        "patch_size": patch_size,
        "in_chans": channels,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
    }
    encoder = timm.create_model(
        "vit_tiny_patch16_224",
        num_classes=0,
        global_pool="",
        **shape,
        **(options or {}),
    )
    decoder = {"decoder_depth": 1, "decoder_width": 16, "decoder_heads": 2}
    mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels]
    model = MaskedAutoencoder(
        encoder,
        **decoder,
        normalize_targets=normalize_targets,
        pixel_mean=mean,
        pixel_std=std,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def make_batch(num=4, *, channels=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "images": torch.randint(
            0, 256, (num, channels, 32, 32), dtype=torch.uint8, generator=generator
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
    values = patches[:, :, None].expand(-1, -1, model.decoder_predict.out_features)
    return model.unpatchify(values)[:, :1]


@every_encoder
@torch.no_grad()
def test_encode_is_timms_forward(options):
    model, batch = make(options), make_batch()
    pixels = model.pixels(batch)
    torch.testing.assert_close(
        model.encode(model.patchify(pixels)),
        model.encoder.forward_features(pixels),
        rtol=1e-5,
        atol=1e-5,
    )


@every_encoder
@torch.no_grad()
def test_hidden_patches_are_as_if_cut_out_of_timms_forward(options):
    """timm's own steps, and the hidden tokens taken out after positions were added."""
    model, batch, mask = make(options), make_batch(), make_mask([6] * 4)
    encoder = model.encoder
    tokens = encoder._pos_embed(encoder.patch_embed(model.pixels(batch)))
    there = torch.cat(
        [torch.ones(4, model.num_prefix, dtype=torch.bool), ~mask.is_masked], dim=1
    )
    wanted = encoder.norm(
        encoder.blocks(
            encoder.norm_pre(tokens[there].view(4, model.num_prefix + 10, -1))
        )
    )
    found = model.encode(model.patchify(model.pixels(batch)), mask)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("counts", [[8] * 4, UNEVEN], ids=["even", "padded"])
@every_encoder
@torch.no_grad()
def test_nothing_hidden_leaks(options, counts):
    model, batch, mask = make(options), make_batch(), make_mask(counts)
    other, hidden = make_batch(seed=9)["images"], spread_over(model, mask.is_masked)
    before = model(batch, mask).predictions
    after = model(
        {"images": torch.where(hidden, other, batch["images"])}, mask
    ).predictions
    assert torch.equal(before, after)
    # The same change where patches are seen moves every row.
    moved = model(
        {"images": torch.where(hidden, batch["images"], other)}, mask
    ).predictions
    assert ((moved - before).abs().amax(dim=(1, 2)) > 1e-3).all()


@torch.no_grad()
def test_every_visible_patch_counts_and_no_other_sample_does():
    model, batch, mask = make(), make_batch(), make_mask(UNEVEN)
    before = model(batch, mask).predictions
    for row, patch in (~mask.is_masked).nonzero().tolist():
        chosen = torch.zeros_like(mask.is_masked)
        chosen[row, patch] = True
        flipped = torch.where(
            spread_over(model, chosen), 255 - batch["images"], batch["images"]
        )
        moved = (model({"images": flipped}, mask).predictions - before).abs().amax(
            dim=(1, 2)
        ) > 0
        assert moved.tolist() == [index == row for index in range(4)]


@pytest.mark.parametrize("normalize_targets", [True, False])
@every_encoder
def test_rows_of_unequal_counts_get_what_they_get_alone(options, normalize_targets):
    model, batch, mask = (
        make(options, normalize_targets=normalize_targets),
        make_batch(),
        make_mask(UNEVEN),
    )
    together = model(batch, mask)
    together.loss.total.backward()
    gradients = {
        name: p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    model.zero_grad()
    total = count = 0.0
    for row, hidden in enumerate(UNEVEN):
        alone = model(
            {"images": batch["images"][row : row + 1]},
            build_mask(mask.is_masked[row : row + 1]),
        )
        torch.testing.assert_close(
            alone.predictions[0],
            together.predictions[row, :hidden],
            rtol=1e-5,
            atol=1e-5,
        )
        alone.loss.total.backward()
        total, count = total + alone.loss.total.item(), count + alone.loss.count.item()
    assert together.loss.total.item() == pytest.approx(total, rel=1e-5)
    assert together.loss.count.item() == count == sum(UNEVEN)
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert gradients.keys() == trained.keys()
    for name, gradient in trained.items():
        assert gradients[name].isfinite().all(), name
        assert (gradients[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-6, (
            name
        )


def test_loss_sums_and_counts_add_up_over_splits():
    model, batch, mask = make(), make_batch(8), make_mask([6] * 8)
    whole = model(batch, mask).loss
    parts = [
        model({"images": batch["images"][at]}, build_mask(mask.is_masked[at])).loss
        for at in ([0, 3, 5], [1, 2, 4, 6, 7])
    ]
    assert whole.count.item() == sum(part.count.item() for part in parts) == 48
    assert whole.total.item() == pytest.approx(
        sum(part.total.item() for part in parts), rel=1e-5
    )
    assert whole.mean.item() == pytest.approx(whole.total.item() / 48)


@torch.no_grad()
def test_loss_is_the_squared_error_at_hidden_patches():
    model, batch, mask = make(normalize_targets=False), make_batch(), make_mask(UNEVEN)
    output = model(batch, mask)
    truth, expected = model.patchify(model.pixels(batch)), 0.0
    for row, hidden in enumerate(UNEVEN):
        difference = output.predictions[row, :hidden] - truth[row][mask.is_masked[row]]
        expected += difference.square().mean(dim=1).sum().item()
    assert output.loss.total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("patch_size", "channels"), [(8, 3), (16, 1), (4, 3), (1, 1)])
def test_unpatchify_inverts_patchify(patch_size, channels):
    model = make(patch_size=patch_size, channels=channels, normalize_targets=False)
    pixels = torch.randn(2, channels, 32, 32)
    patches = model.patchify(pixels)
    side = 32 // patch_size
    assert patches.shape == (2, side * side, channels * patch_size**2)
    assert torch.equal(model.unpatchify(patches), pixels)
    # The second row's first patch lies below the first row's.
    corner = (
        pixels[:, :, patch_size : 2 * patch_size, :patch_size]
        .permute(0, 2, 3, 1)
        .flatten(1)
    )
    assert torch.equal(patches[:, side], corner)


def test_normalised_targets():
    model = make()
    patches = torch.cat([torch.full((1, 192), 2.5), torch.randn(3, 192) * 7 + 3])
    targets = model.targets(patches)
    assert torch.equal(targets[0], torch.zeros(192))
    torch.testing.assert_close(
        targets[1:].mean(dim=1), torch.zeros(3), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(targets[1:].std(dim=1), torch.ones(3), rtol=1e-5, atol=0)
    output = model(
        {"images": torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)},
        make_mask([4, 4]),
    )
    output.loss.total.backward()
    assert output.loss.total.isfinite()
    assert all(
        p.grad.isfinite().all() for p in model.parameters() if p.grad is not None
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, 2.5, -0.3137, 200 / 255 / 0.2, 1e4, 1e25])
def test_targets_of_constant_and_large_patches(dtype, value):
    """No digit is lost to the mean: exactly zero where nothing varies, finite everywhere."""
    constant = torch.full((2, 192), value, dtype=dtype)
    assert torch.equal(make().targets(constant), torch.zeros(2, 192))
    varied = constant * torch.linspace(-1, 1, 192, dtype=dtype)
    assert make().targets(varied).isfinite().all()


def test_targets_of_half_precision_are_those_of_single():
    patches = (torch.randn(4, 192) * 0.01 + 3).to(torch.bfloat16)
    assert torch.equal(make().targets(patches), make().targets(patches.float()))
    doubles = torch.randn(4, 192, dtype=torch.float64)
    assert make().targets(doubles).dtype == torch.float64


def test_patches_of_one_value_are_not_normalised():
    with pytest.raises(InputError) as caught:
        make(patch_size=1, channels=1)
    assert (
        str(caught.value)
        == "model.normalize_targets must be false for patches of a single value, got true."
    )
    output = make(patch_size=1, channels=1, normalize_targets=False)(
        make_batch(channels=1), make_mask([700] * 4, 1024)
    )
    assert output.predictions.shape == (4, 700, 1)


@torch.no_grad()
def test_embed_is_the_mean_of_patch_tokens_and_sees_every_pixel():
    model, batch = make(), make_batch(1)
    before = model.embed(batch)
    assert before.shape == (1, 32)
    tokens = model.encoder.forward_features(model.pixels(batch))
    torch.testing.assert_close(before, tokens[:, 1:].mean(dim=1), rtol=1e-5, atol=1e-5)
    for channel, row, column in [(0, 0, 0), (2, 31, 31), (1, 13, 22), (1, 8, 7)]:
        images = batch["images"].clone()
        images[0, channel, row, column] ^= 255
        assert (model.embed({"images": images}) - before).abs().max() > 1e-5


def test_baseline_is_standardised_pixels():
    batch = make_batch()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    wanted = (batch["images"].permute(0, 2, 3, 1) / 255.0 - mean) / std
    found = make().baseline(batch)
    assert found.shape == (4, 3072)
    torch.testing.assert_close(
        found.view(4, 3, 32, 32), wanted.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5
    )


def test_baseline_is_nan_in_hidden_patches_alone():
    model, batch, mask = make(), make_batch(), make_mask(UNEVEN)
    pixels = model.baseline(batch, mask).view(4, 3, 4, 8, 4, 8)
    complete = model.baseline(batch).view(4, 3, 4, 8, 4, 8)
    is_hidden = mask.is_masked.view(4, 1, 4, 1, 4, 1).expand_as(pixels)
    assert pixels[is_hidden].isnan().all()
    assert torch.equal(pixels[~is_hidden], complete[~is_hidden])


@pytest.mark.parametrize("counts", [[8] * 4, UNEVEN], ids=["even", "padded"])
@pytest.mark.parametrize("normalize_targets", [True, False])
@torch.no_grad()
def test_paint(counts, normalize_targets):
    model, batch, mask = (
        make(normalize_targets=normalize_targets),
        make_batch(),
        make_mask(counts),
    )
    images, hidden = (
        batch["images"],
        spread_over(model, mask.is_masked).expand(-1, 3, -1, -1),
    )
    pictures = model.paint(batch, mask)
    assert pictures.shape == (4, 3, 3, 32, 32)
    assert pictures.dtype == torch.uint8
    original, given, filled = pictures.unbind(1)
    assert torch.equal(original, images)
    assert torch.equal(given[~hidden], images[~hidden])
    assert torch.equal(filled[~hidden], images[~hidden])
    grey = (torch.tensor([0.5, 0.4, 0.3]) * 255).round().to(torch.uint8)
    assert torch.equal(given[hidden], grey.view(1, 3, 1, 1).expand_as(images)[hidden])
    assert (filled[hidden] != images[hidden]).float().mean() > 0.5


@pytest.mark.parametrize(
    "size", [{}, {"reg_tokens": 4}, {"reg_tokens": 4, "no_embed_class": True}]
)
def test_positions_are_fixed_sines(size):
    encoder = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=1,
        num_heads=2,
        num_classes=0,
        **size,
    )
    shape = {
        "decoder_depth": 1,
        "decoder_width": 16,
        "decoder_heads": 2,
        "normalize_targets": True,
    }
    model = MaskedAutoencoder(
        encoder, **shape, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3
    )
    for table in (encoder.pos_embed, model.decoder_positions):
        num_prefix = table.shape[1] - 16
        assert torch.equal(table, sincos_positions((4, 4), table.shape[2], num_prefix))
        assert not table[:, :num_prefix].any()
        assert not table.requires_grad
    frozen = {
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    assert frozen == {"encoder.pos_embed", "decoder_positions"}


def test_eligible_is_every_patch():
    batch = {"indices": torch.arange(4)}
    assert torch.equal(
        make().masking.eligible(batch), torch.ones(4, 16, dtype=torch.bool)
    )


@torch.no_grad()
def test_an_encoder_with_its_own_epsilon_is_taken():
    """CLIP's shapes norm before the blocks, with an epsilon of their own."""
    encoder = create_encoder(
        "vit_base_patch32_clip_224",
        image_size=32,
        channels=3,
        patch_size=8,
        width=32,
        depth=2,
        heads=2,
    )
    shape = {
        "decoder_depth": 1,
        "decoder_width": 16,
        "decoder_heads": 2,
        "normalize_targets": True,
    }
    model = MaskedAutoencoder(
        encoder, **shape, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3
    ).eval()
    pixels = model.pixels(make_batch())
    torch.testing.assert_close(
        model.encode(model.patchify(pixels)),
        encoder.forward_features(pixels),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("normalize_targets", [True, False])
@torch.no_grad()
def test_issue_19_4_nothing_of_hidden_patches_is_painted(normalize_targets):
    model, mask = make(normalize_targets=normalize_targets).eval(), make_mask(UNEVEN)
    first, second = make_batch(), make_batch()
    hidden = spread_over(model, mask.is_masked).expand(-1, 3, -1, -1)
    second["images"] = first["images"].where(~hidden, first["images"] // 7)
    filled = [model.paint(batch, mask)[:, 2] for batch in (first, second)]
    assert torch.equal(*filled)
    assert not torch.equal(first["images"], second["images"])


@torch.no_grad()
def test_issue_19_4_brightness_is_interpolated_from_visible_patches():
    """A decoder that predicts nothing paints the weighted mean of visible patches."""
    model = make(normalize_targets=True).eval()
    model.decoder_predict.weight.zero_()
    model.decoder_predict.bias.zero_()
    levels = torch.arange(16).view(1, 1, 4, 4) * 16
    images = levels.repeat_interleave(8, 2).repeat_interleave(8, 3)
    batch = {"images": images.expand(1, 3, 32, 32).to(torch.uint8)}
    is_masked = torch.zeros(1, 16, dtype=torch.bool)
    is_masked[:, :15] = True  # one visible patch, level 240
    painted = model.paint(batch, build_mask(is_masked))[0, 2]
    expected = torch.full((32, 32), 240).to(torch.uint8)
    # The pixels' statistics differ among channels: their mean is what is interpolated.
    assert (painted.float().mean(0) - expected).abs().max() < 20
    is_masked[:, 0] = False  # another one, level 0: nearer patches weigh most
    painted = model.paint(batch, build_mask(is_masked))[0, 2].float().mean(0)
    near, far = painted[:8, 8:16].mean(), painted[16:24, 24:].mean()
    assert near < 40
    assert far > 180
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model.paint(batch, build_mask(is_masked))[0, 2].float().mean(0)
    assert torch.equal(rounded, painted)


@pytest.mark.parametrize(
    "counts", [None, [8] * 4, UNEVEN], ids=["all", "even", "uneven"]
)
@every_encoder
@torch.no_grad()
def test_tokens_are_visible_patches_and_their_mean_is_embed(options, counts):
    model, batch = make(options), make_batch()
    masks = () if counts is None else (make_mask(counts),)
    tokens, is_token = model.embed_tokens(batch, *masks)
    visible = [16 - count for count in counts or [0] * 4]
    assert is_token.sum(dim=1).tolist() == visible
    means = torch.stack(
        [t[i].mean(dim=0) for t, i in zip(tokens, is_token, strict=True)]
    )
    torch.testing.assert_close(means, model.embed(batch, *masks), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_under_cls_pooling_the_class_token_is_the_first():
    model, batch = make({"reg_tokens": 4}), make_batch()
    model.pooling = "cls"
    tokens, is_token = model.embed_tokens(batch, make_mask(UNEVEN))
    assert is_token.sum(dim=1).tolist() == [1 + 16 - count for count in UNEVEN]
    assert torch.equal(tokens[:, 0], model.embed(batch, make_mask(UNEVEN)))


@pytest.mark.parametrize(
    "counts", [None, [8] * 4, UNEVEN], ids=["all", "even", "uneven"]
)
@every_encoder
@torch.no_grad()
def test_a_layer_is_what_a_shallower_encoder_returns(options, counts):
    model, batch = make(options).eval(), make_batch()
    masks = () if counts is None else (make_mask(counts),)
    shallow = make(options).eval()
    shallow.encoder.blocks = shallow.encoder.blocks[:1]
    tokens, is_token = model.at_layer(1).embed_tokens(batch, *masks)
    expected, is_expected = shallow.embed_tokens(batch, *masks)
    assert torch.equal(is_token, is_expected)
    assert torch.equal(tokens, expected)
    assert not torch.allclose(model.embed_tokens(batch, *masks)[0], tokens, atol=1e-3)
    if counts is None and model.encoder.num_prefix_tokens <= 1:
        (normed,) = model.encoder.get_intermediate_layers(
            model.pixels(batch), n=[0], norm=True
        )
        torch.testing.assert_close(tokens, normed)
