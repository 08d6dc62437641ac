"""Masked models of cells: nothing hidden leaks, hidden is not zero, sizes and likelihoods as by hand."""

import numpy as np
import pytest
import torch
from scipy import stats

from r2mae.evaluation.conditional_mean import ConditionalMean
from r2mae.evaluation.read_encoder import read_encoder
from r2mae.evaluation.read_out import ReadOut
from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import Role, sample_mask
from r2mae.modalities.cell.models.cell_model import CountLikelihood
from r2mae.modalities.cell.models.completion import Completion
from r2mae.modalities.cell.models.mlp import CellMLP, MaskedCellMLP
from r2mae.modalities.cell.models.transformer import (
    CellTransformer,
    MaskedCellTransformer,
)

GENES = 30
SHARES = np.arange(1, GENES + 1) / np.arange(1, GENES + 1).sum()


def mlp(likelihood="negative_binomial", shares=SHARES, completed=True):
    torch.manual_seed(0)
    model = MaskedCellMLP(
        GENES,
        shares,
        width=8,
        depth=1,
        hidden=16,
        likelihood=likelihood,
        completion=completion() if completed else None,
    )
    return varied(model)


def masked_input_mlp():
    """Hidden genes are 0, and the mask is an input."""
    return mlp(completed=False)


def completion():
    logs = np.log1p(cells(50, seed=1).numpy())
    return Completion(GENES, 4, ConditionalMean(logs, 4))


def transformer(likelihood="negative_binomial", decoder_depth=1):
    torch.manual_seed(0)
    model = MaskedCellTransformer(
        GENES, SHARES, width=16, depth=2, heads=2, decoder_depth=decoder_depth, likelihood=likelihood,
        typical_length=20, expressed_share=0.5,
    )  # fmt: skip
    return varied(model)


def varied(model):
    """Weights that let every input count."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def cells(num=5, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).poisson(2.0, (num, GENES)) * 1.0
    ).float()


def dense_batch(mask_ratio=0.4, num=5):
    values, positions = cells(num), torch.arange(num)
    ratios = torch.full((num,), mask_ratio, dtype=torch.float64)
    eligible = torch.ones(num, GENES, dtype=torch.bool)
    return {"values": values}, sample_mask(
        "random", eligible, ratios, 0, positions, (GENES,)
    )


def list_batch(mask_ratio=0.4, num=5, values=None):
    """Every gene of a cell in a list: expressed ones first, the others are decoys."""
    values = cells(num) if values is None else values
    order = (values == 0).long().argsort(dim=1, stable=True)
    listed = values.gather(1, order)
    roles = torch.where(listed > 0, Role.HIDEABLE, Role.DECOY).to(torch.int8)
    ratios = torch.full((num,), mask_ratio, dtype=torch.float64)
    mask = sample_mask("random", roles, ratios, 0, torch.arange(num), (GENES,))
    return {"values": listed, "columns": order, "roles": roles}, mask


@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson", "mse"])
def test_mlp_predictions_do_not_depend_on_hidden_counts(likelihood):
    model, (batch, mask) = mlp(likelihood), dense_batch()
    before = model(batch, mask).predictions
    other = batch["values"].masked_fill(
        mask.is_masked, 0
    ) + mask.is_masked * torch.randint(0, 500, (5, GENES))
    assert torch.equal(before, model({"values": other}, mask).predictions)
    seen = batch["values"] + (~mask.is_masked) * 3
    assert not torch.allclose(before, model({"values": seen}, mask).predictions)


@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson", "mse"])
@pytest.mark.parametrize("decoder_depth", [0, 2])
def test_transformer_predictions_do_not_depend_on_hidden_counts(
    likelihood, decoder_depth
):
    model, (batch, mask) = transformer(likelihood, decoder_depth), list_batch()
    before = model(batch, mask).predictions
    other = torch.where(
        mask.is_masked, torch.randint(0, 500, (5, GENES)).float(), batch["values"]
    )
    assert torch.equal(before, model(batch | {"values": other}, mask).predictions)
    assert not torch.allclose(
        before, model(batch | {"values": batch["values"] * 3 + 1}, mask).predictions
    )


@pytest.mark.parametrize("make", [mlp, masked_input_mlp])
def test_hidden_is_not_zero(make):
    model, values = make(), cells()
    hidden = torch.zeros(5, GENES, dtype=torch.bool)
    hidden[:, 3] = True
    values[:, 3] = 0
    nothing = torch.zeros_like(hidden)
    assert not torch.allclose(
        model.impute(values, hidden), model.impute(values, nothing)
    )


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8])
def test_sizes_are_those_of_whole_cells(ratio):
    """A cell whose genes have their usual shares has the same size whatever is hidden of it."""
    values = torch.from_numpy(SHARES * 1000).float()[None]
    hidden = torch.rand(1, GENES, generator=torch.Generator().manual_seed(1)) < ratio
    assert mlp().sizes({"values": values}, hidden).item() == pytest.approx(
        1000, rel=1e-5
    )
    batch = {"values": values, "columns": torch.arange(GENES)[None]}
    assert transformer().sizes(batch, hidden).item() == pytest.approx(1000, rel=1e-5)


def test_genes_that_were_not_measured_count_as_hidden():
    model, values = mlp(), torch.from_numpy(SHARES * 1000).float()[None]
    measured = torch.ones(1, GENES, dtype=torch.bool)
    measured[0, ::3] = False
    batch = {"values": values * measured, "measured": measured}
    assert model.sizes(batch, None).item() == pytest.approx(1000, rel=1e-5)
    assert torch.allclose(
        model.embed(batch), model.encode({"values": values}, ~measured)[0], atol=1e-5
    )
    roles = model.masking.eligible(batch)
    assert (roles == torch.where(measured, Role.HIDEABLE, Role.ABSENT)).all()


@pytest.mark.parametrize("make", [mlp, transformer])
def test_autocast_does_not_round_sizes(make):
    model, values = make(), cells()
    measured = (
        torch.rand(values.shape, generator=torch.Generator().manual_seed(1)) < 0.9
    )
    hidden = measured & (measured.cumsum(dim=1) > 2)  # two genes are visible
    batch = {"values": values * measured, "measured": measured}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sizes = model.sizes(batch, hidden)
    assert torch.equal(sizes, model.sizes(batch, hidden))


def test_likelihoods_by_scipy():
    values, rates = torch.tensor([[0.0, 3.0, 7.0]]), torch.tensor([[0.5, 2.0, 9.0]])
    shares, sizes, genes = (
        rates / 100,
        torch.tensor([[100.0]]),
        torch.tensor([[0, 1, 2]]),
    )
    decoded = torch.zeros(1, 3)
    poisson = CountLikelihood("poisson", 3).losses(
        decoded, values, shares, sizes, genes, sizes
    )
    assert np.allclose(poisson, -stats.poisson.logpmf(values, rates), atol=1e-5)
    binomial = CountLikelihood("negative_binomial", 3)
    with torch.no_grad():
        binomial.log_dispersion.copy_(torch.tensor([0.0, 1.0, -0.5]))
    dispersion = binomial.log_dispersion.detach().exp().numpy()
    expected = -stats.nbinom.logpmf(
        values, dispersion, dispersion / (dispersion + rates.numpy())
    )
    found = binomial.losses(decoded, values, shares, sizes, genes, sizes)
    assert np.allclose(found.detach(), expected, atol=1e-5)
    squared = CountLikelihood("mse", 3).losses(
        decoded + 1, values, shares, sizes, genes, torch.tensor([[10.0]])
    )
    assert np.allclose(squared, (1 - np.log1p(values.numpy() * 1000)) ** 2, rtol=1e-5)


def test_a_new_model_predicts_the_mean_cell():
    torch.manual_seed(0)
    model = MaskedCellMLP(
        GENES,
        SHARES,
        width=8,
        depth=1,
        hidden=16,
        likelihood="poisson",
        completion=completion(),
    )
    torch.nn.init.zeros_(model.predict.weight)
    found = model.impute(
        torch.from_numpy(SHARES * 500).float()[None],
        torch.zeros(1, GENES, dtype=torch.bool),
    )
    assert np.allclose(found.detach(), SHARES * 500, rtol=1e-3)


def test_a_cell_does_not_depend_on_its_batch():
    model, (batch, mask) = transformer(), list_batch()
    assert mask.visible_counts is not None
    together, _ = model.encode(batch, mask)
    for row in range(5):
        alone_batch = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        hidden, roles = mask.is_masked[row : row + 1], alone_batch["roles"]
        alone = build_mask(hidden, (roles == Role.HIDEABLE) & ~hidden)
        found, _ = model.encode(alone_batch, alone)
        assert torch.allclose(found[0], together[row, : found.shape[1]], atol=1e-5)


def test_the_order_of_a_list_does_not_matter():
    model, (batch, _) = transformer(), list_batch()
    order = torch.randperm(GENES)
    shuffled = {name: tensor[:, order] for name, tensor in batch.items()}
    assert torch.allclose(model.embed(batch), model.embed(shuffled), atol=1e-5)


@pytest.mark.parametrize("make", [mlp, masked_input_mlp, transformer])
def test_imputed_counts_are_the_predictions(make):
    model = make()
    batch, mask = dense_batch() if make is not transformer else list_batch()
    found = model(batch, mask).predictions
    hidden = mask.is_masked
    if make is not transformer:
        whole = model.impute(batch["values"], hidden).gather(1, mask.masked)
    else:  # from rows over all genes, back to the places in the lists
        values, is_masked = (
            torch.zeros_like(t).scatter(1, batch["columns"], t)
            for t in (batch["values"], hidden)
        )
        whole = model.impute(values, is_masked).gather(
            1, batch["columns"].gather(1, mask.masked)
        )
    weight = (
        torch.ones_like(found, dtype=torch.bool)
        if mask.masked_weight is None
        else mask.masked_weight
    )
    assert torch.allclose(whole[weight], found[weight], rtol=1e-4)


@pytest.mark.parametrize("make", [mlp, masked_input_mlp, transformer])
def test_loss_is_over_hidden_genes_alone_and_learns(make):
    model = make().train()
    batch, mask = dense_batch() if make is not transformer else list_batch()
    loss = model(batch, mask).loss
    assert int(loss.count) == int(mask.is_masked.sum())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        model(batch, mask).loss.mean.backward()
        optimizer.step()
    assert model(batch, mask).loss.mean < loss.mean - 0.1


@pytest.mark.parametrize(
    ("masked", "bare"), [(mlp, CellMLP), (transformer, CellTransformer)]
)
def test_layers_name_every_parameter_of_the_encoder(masked, bare):
    model = masked()
    shape = (
        {"width": 8, "depth": 1, "hidden": 16, "completion": completion()}
        if bare is CellMLP
        else {"width": 16, "depth": 2, "heads": 2}
    )
    assert set(model.layers()) == {
        name for name, _ in bare(GENES, SHARES, **shape).named_parameters()
    }
    assert max(model.layers().values()) == shape["depth"] + 1


def test_costs_follow_what_is_visible():
    model = transformer()
    assert model.training_flops(18) > model.training_flops(6) > 0
    assert model.saved_values(18).wide > 0
    once = (
        16 * 16 + 2 * 16 * 8 + GENES * 16
    )  # weights that want gradients of their inputs too
    inputs = 4 * GENES * 16  # values want no gradient
    products = 2 * GENES * (4 * 5 // 2) + 2 * 2 * GENES * 4  # of 4 components
    assert mlp().training_flops(10) == 6 * once + inputs + products


def test_decoys_hide_their_own_share():
    values = torch.zeros(4, 100)
    values[:, :20] = 1
    roles = torch.where(values > 0, Role.HIDEABLE, Role.DECOY).to(torch.int8)
    roles[:, 90:] = Role.ABSENT
    ratios = torch.full((4,), 0.3, dtype=torch.float64)
    mask = sample_mask("random", roles, ratios, 0, torch.arange(4), (100,))
    assert (mask.is_masked & (roles == Role.HIDEABLE)).sum(dim=1).tolist() == [6] * 4
    assert (mask.is_masked & (roles == Role.DECOY)).sum(dim=1).tolist() == [21] * 4
    assert mask.visible.shape == (4, 14)
    assert (mask.visible < 20).all()
    assert not (mask.is_masked & (roles == Role.ABSENT)).any()


def test_baseline_of_dense_cells_is_nan_where_hidden():
    shares = np.full(GENES, 1 / GENES)
    values = torch.zeros(1, GENES)
    values[0, :4] = torch.tensor([4.0, 8, 100, 3])
    is_masked = torch.zeros(1, GENES, dtype=torch.bool)
    is_masked[0, [2, *range(16, 30)]] = True  # half of the genes
    features = mlp(shares=shares).baseline({"values": values}, build_mask(is_masked))
    assert torch.equal(features.isnan(), is_masked)
    # 15 counts in visible genes, which have half of the mean cell's counts.
    expected = torch.log1p(torch.tensor([4.0, 8, 3]) * 10_000 / 30)
    torch.testing.assert_close(features[0, [0, 1, 3]], expected)
    measured = torch.ones(1, GENES, dtype=torch.bool)
    measured[0, 15] = False  # 14 of 29 measured genes are visible
    batch = {"values": values, "measured": measured}
    features = mlp(shares=shares).baseline(batch, build_mask(is_masked))
    expected = torch.log1p(torch.tensor(4.0) * 10_000 * 14 / (15 * 29))
    torch.testing.assert_close(features[0, 0], expected)


def test_baseline_of_scaled_values_is_nan_where_hidden():
    batch, mask = dense_batch()
    features = mlp("mse", shares=None).baseline(batch, mask)
    expected = batch["values"].masked_fill(mask.is_masked, torch.nan)
    torch.testing.assert_close(features, expected, equal_nan=True)


def test_baseline_of_lists_has_no_count_where_hidden():
    batch, mask = list_batch()
    shown = batch | {"values": batch["values"].masked_fill(mask.is_masked, 0)}
    model = transformer()
    assert torch.equal(model.baseline(batch, mask), model.baseline(shown))
    assert not torch.equal(model.baseline(batch, mask), model.baseline(batch))


@torch.no_grad()
def test_tokens_of_a_cell_are_its_own_and_those_of_visible_expressed_genes():
    model, (batch, mask) = transformer(), list_batch()
    tokens, is_token = model.embed_tokens(batch)
    expressed = (batch["roles"] == Role.HIDEABLE).sum(dim=1)
    assert is_token.sum(dim=1).tolist() == (1 + expressed).tolist()
    assert torch.equal(tokens[:, 0], model.embed(batch))
    tokens, is_token = model.embed_tokens(batch, mask)
    hidden = (mask.is_masked & (batch["roles"] == Role.HIDEABLE)).sum(dim=1)
    assert is_token.sum(dim=1).tolist() == (1 + expressed - hidden).tolist()
    assert torch.equal(tokens[:, 0], model.embed(batch, mask))


@torch.no_grad()
def test_features_of_an_mlp_are_its_only_token():
    model, (batch, mask) = mlp(), dense_batch()
    for masks in ((), (mask,)):
        tokens, is_token = model.embed_tokens(batch, *masks)
        assert torch.equal(tokens, model.embed(batch, *masks)[:, None])
        assert is_token.shape == (5, 1)
        assert is_token.all()


@torch.no_grad()
def test_concat_puts_components_beside_the_features_of_an_mlp():
    model, (batch, mask) = mlp(), dense_batch()
    joined = read_encoder(model, ReadOut(pool="concat"))
    for masks in ((), (mask,)):
        features, components = joined.embed(batch, *masks).split([8, 4], dim=1)
        torch.testing.assert_close(features, model.embed(batch, *masks))
        assert components.std(dim=0).min() > 1e-3
    tokens, is_token = joined.embed_tokens(batch)
    assert tokens.shape == (5, 1, 8)
    assert is_token.all()
    earlier = read_encoder(model, ReadOut(layer=1, pool="concat"))
    assert earlier.embed(batch).shape == (5, 16 + 4)
    alone = read_encoder(masked_input_mlp(), ReadOut(pool="concat"))
    assert alone.embed(batch).shape == (5, 8)


@torch.no_grad()
def test_layers_of_an_mlp_are_its_hidden_layers_and_then_the_features():
    model, (batch, mask) = mlp().eval(), dense_batch()
    outputs = []
    for block in model.blocks:
        block.register_forward_hook(
            lambda _, inputs, out: outputs.append(inputs[0] + out)
        )
    assert model.num_layers == len(model.blocks) + 1
    assert model.at_layer(model.num_layers) is model
    model.embed(batch, mask)
    expected = list(outputs)
    assert expected
    for layer, hidden in enumerate(expected, 1):
        early = model.at_layer(layer)
        torch.testing.assert_close(early.embed(batch, mask), hidden)
        assert early.width == hidden.shape[1]


@torch.no_grad()
def test_layers_and_poolings_of_a_transformer():
    model, (batch, mask) = transformer().eval(), list_batch()
    for masks in ((), (mask,)):
        for layer in range(1, model.num_layers + 1):
            shallow = transformer().eval()
            shallow.blocks = shallow.blocks[:layer]
            early = model.at_layer(layer)
            assert torch.equal(early.embed(batch, *masks), shallow.embed(batch, *masks))
        model.pooling = "mean"
        tokens, is_token = model.embed_tokens(batch, *masks)
        pairs = zip(tokens, is_token, strict=True)
        means = torch.stack([rows[inside].mean(dim=0) for rows, inside in pairs])
        torch.testing.assert_close(model.embed(batch, *masks), means)
        model.pooling = "cls"
