import pytest

from r2mae.recipe.flops import measurement_cost
from r2mae.recipe.load import load_recipe

SETTINGS = [
    "batch={global_samples: 10}",
    "data.held_out=0.5",
    "mask.ratio={fixed: {ratio: 0.5}}",
    "mask.scope=step",
]


def cost(*settings, has_labels=True):
    """With operations in proportion to the visible share."""
    recipe = load_recipe("digits_demo", [*SETTINGS, *settings])
    return measurement_cost(recipe, float, 100, has_labels)


def test_validation_costs_forward_passes_of_held_out_samples():
    off = "knn: false, linear_probe: false, effective_rank: false"
    only = cost(f"watch={{ratios: [0.25, 0.75], {off}}}")
    # 40 samples at visible shares 0.75 and 0.25, a third of forward and backward;
    # a step costs 10 samples at 0.5.
    assert only(40) == pytest.approx(40 * (0.75 + 0.25) / 3 / 5)
    assert only(1000) == only(100)  # no more are held out


def test_probes_cost_features_of_both_splits():
    off = "validation: false, effective_rank: false"
    probes = cost(f"watch={{{off}}}")
    assert probes(40) == pytest.approx((40 + 40) / 3 / 5)
    assert cost(f"watch={{{off}}}", has_labels=False)(40) == 0
