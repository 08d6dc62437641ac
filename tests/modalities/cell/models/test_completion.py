"""Hidden genes as their conditional mean: equal to numpy's, and nothing hidden leaks."""

import numpy as np
import pytest
import torch

from r2mae.evaluation.conditional_mean import ConditionalMean
from r2mae.modalities.cell.models import completion as module
from r2mae.modalities.cell.models.completion import Completion

GENES, COMPONENTS = 40, 3


def fitted(num_cells=60):
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(num_cells, COMPONENTS))
    noise = 0.1 * draw.normal(size=(num_cells, GENES))
    values = scores @ draw.normal(size=(COMPONENTS, GENES)) + noise + 2
    return values, ConditionalMean(values, COMPONENTS)


def hidden(num_cells, share=0.6):
    draw = np.random.default_rng(1)
    return draw.random((num_cells, GENES)) < share


@pytest.mark.parametrize("genes_at_once", [7, 4096])
def test_completion_equals_the_conditional_mean(monkeypatch, genes_at_once):
    monkeypatch.setattr(module, "_GENES_AT_ONCE", genes_at_once)
    values, fit = fitted()
    is_hidden = hidden(len(values))
    expected = fit.impute(np.where(is_hidden, np.nan, values))
    completion = Completion(GENES, COMPONENTS, fit)
    inputs = torch.from_numpy(values).float()
    completed = completion(inputs, torch.from_numpy(is_hidden))
    np.testing.assert_allclose(completed.numpy(), expected, atol=1e-4)


def test_scores_are_the_components_of_the_completion_and_read_nothing_hidden():
    values, fit = fitted()
    is_hidden = torch.from_numpy(hidden(len(values)))
    inputs = torch.from_numpy(values).float()
    completion = Completion(GENES, COMPONENTS, fit)
    scores = completion.scores(inputs.masked_fill(is_hidden, 1e6), is_hidden)
    filled = completion.mean + scores @ completion.axes
    torch.testing.assert_close(
        filled[is_hidden], completion(inputs, is_hidden)[is_hidden]
    )
    # Of complete cells they are those of PCA, as far as there is little noise.
    complete = completion.scores(inputs, torch.zeros_like(is_hidden))
    projected = (inputs - completion.mean) @ completion.axes.T
    torch.testing.assert_close(complete, projected, rtol=0.01, atol=0.01)


def test_completion_beats_the_mean_and_does_not_read_hidden_values():
    values, fit = fitted()
    is_hidden = torch.from_numpy(hidden(len(values)))
    inputs = torch.from_numpy(values).float()
    completion = Completion(GENES, COMPONENTS, fit)
    completed = completion(inputs, is_hidden)
    error = (completed - inputs)[is_hidden].square().mean()
    assert error < 0.1 * (inputs.mean(0) - inputs)[is_hidden].square().mean()
    garbage = inputs.masked_fill(is_hidden, 1e6)
    assert torch.equal(completion(garbage, is_hidden), completed)


def test_a_cell_without_visible_genes_becomes_the_mean_cell():
    values, fit = fitted()
    everything = torch.ones(1, GENES, dtype=torch.bool)
    completed = Completion(GENES, COMPONENTS, fit)(torch.zeros(1, GENES), everything)
    np.testing.assert_allclose(completed[0].numpy(), values.mean(axis=0), rtol=1e-5)


def test_fewer_cells_than_components_leave_axes_of_zero():
    values, _ = fitted(num_cells=6)
    fit = ConditionalMean(values, 20)
    is_hidden = torch.from_numpy(hidden(len(values)))
    inputs = torch.from_numpy(values).float()
    wide = Completion(GENES, 20, fit)(inputs, is_hidden)
    exact = Completion(GENES, len(fit.axes), fit)(inputs, is_hidden)
    assert len(fit.axes) == 5
    torch.testing.assert_close(wide, exact)


@pytest.mark.parametrize("visible", [1, 2, 5])
def test_few_visible_genes_of_noiseless_cells_give_finite_values(visible):
    draw = np.random.default_rng(0)
    values = draw.normal(size=(60, 20)) @ draw.normal(size=(20, GENES))
    is_hidden = torch.ones(60, GENES, dtype=torch.bool)
    is_hidden[:, :visible] = False
    inputs = torch.from_numpy(values).float()
    completed = Completion(GENES, 20, ConditionalMean(values, 20))(inputs, is_hidden)
    assert completed.isfinite().all()
    assert completed.abs().max() < 10 * np.abs(values).max()


def test_unfitted_completion_fills_zeros():
    is_hidden = torch.from_numpy(hidden(4))
    inputs = torch.ones(4, GENES)
    completed = Completion(GENES, COMPONENTS, None)(inputs, is_hidden)
    assert torch.equal(completed, inputs.masked_fill(is_hidden, 0))


def test_autocast_does_not_round_the_completion():
    values, fit = fitted()
    is_hidden = torch.from_numpy(hidden(len(values)))
    inputs = torch.from_numpy(values).float()
    completion = Completion(GENES, COMPONENTS, fit)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        completed = completion(inputs, is_hidden)
    assert torch.equal(completed, completion(inputs, is_hidden))
