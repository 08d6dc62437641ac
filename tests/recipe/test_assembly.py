from argparse import Namespace

import pytest
import torch

from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.recipe.assembly import (
    build_model,
    count_training_samples,
    open_paths,
    open_split,
)
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO


def test_initial_weights_follow_the_seed_alone():
    torch.manual_seed(1)
    one = build_model(load_recipe(str(DEMO))).state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    two = build_model(load_recipe(str(DEMO))).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    other = build_model(load_recipe(str(DEMO), ["seed=1"])).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(
        one["decoder_predict.weight"], other["decoder_predict.weight"]
    )


def test_data_too_small_to_validate_on_is_refused_before_training():
    recipe = load_recipe(str(DEMO), ["data.held_out=0.001"])
    with pytest.raises(InputError, match="2 held out, got 1436 and 1"):
        count_training_samples(recipe)


def test_hub_data_is_counted_by_its_card():
    recipe = load_recipe(
        str(DEMO), ["data={card: imagenet1k, image_size: 32, held_out: 0.01}"]
    )
    samples, about = count_training_samples(recipe)
    assert samples == 1281167 - 12812
    assert "not on this machine" in about["location"]


def test_paths_that_do_not_exist():
    with pytest.raises(InputError, match="must exist"):
        open_paths(load_recipe(str(DEMO)), ["nowhere.png"], Namespace())


@pytest.mark.parametrize(
    "name",
    [
        "atlas_transformer",
        "glue_rte",
        "gue_finetune",
        "gutenberg_tiny",
        "human_msa",
        "ner_finetune",
        "tiny_imagenet20_vit",
    ],
)
def test_missing_data_is_refused_with_its_source(scratch, name):
    recipe = load_recipe(name)
    with pytest.raises(InputError, match=r"data\.root must be given") as caught:
        open_split(recipe, "train")
    assert load_card(recipe.data.card).source in str(caught.value)
