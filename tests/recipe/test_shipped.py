"""Shipped recipes: who provides their data, as their wings and cards say."""

import pytest

from r2mae.data.card import load_card
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import (
    data_provision,
    find_recipe_or_study,
    shipped_recipes,
    shipped_studies,
)


@pytest.mark.parametrize("name", shipped_recipes())
def test_data_is_provided_as_the_card_of_the_loaded_recipe_says(name):
    data = load_recipe(name).data
    assert getattr(data, "root", None) is None
    card = getattr(data, "card", None)
    expected = "bundled" if card is None else load_card(card).provision
    assert data_provision(shipped_recipes()[name]) == expected


def test_a_recipe_comes_before_a_study_of_its_name(scratch):
    assert find_recipe_or_study("digits") == shipped_studies()["digits"]
    (scratch / "digits").write_text("task: pretrain")
    assert find_recipe_or_study("digits").read_text() == "task: pretrain"
