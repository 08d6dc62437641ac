"""Keys of recipes: each has a default that validation gives too, and a meaning."""

import json

import pytest
import yaml
from pydantic import Field

from r2mae.modalities import BUILT_IN, find_wing
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import shipped_recipes
from r2mae.schema.keys import Key, list_keys
from r2mae.schema.recipe import recipe_document
from r2mae.schema.section import Section


class Inner(Section):
    """`inner`: what is inside. Not shown."""

    size: int = 3


class Outer(Section):
    """A section.

    first, second: of two; a
        long line. Not shown.
    items: a list: of texts. name: is text.
    """

    first: int
    second: float = 0.5
    items: tuple[str, ...] = Field(default=("a",))
    name: str | None = "b"
    inner: Inner = Inner(size=4)
    other: Inner | None = None


def test_defaults_and_first_sentences():
    assert list(list_keys(Outer)) == [
        Key("first", "required", "of two; a long line"),
        Key("second", "0.5", "of two; a long line"),
        Key("items", '["a"]', "a list: of texts"),
        Key("name", "b", "is text"),
        Key("inner", "", "what is inside"),
        Key("inner.size", "4", ""),
        Key("other", "null", "what is inside"),
        Key("other.size", "3", ""),
    ]


@pytest.mark.parametrize("modality", BUILT_IN)
def test_every_key_of_every_wing_has_a_meaning(modality):
    wing = find_wing(modality)
    for recipe in (wing.pretrain_recipe, wing.finetune_recipe):
        keys = list(list_keys(recipe))
        assert [key.name for key in keys if not key.meaning] == []
        assert len({key.name for key in keys}) == len(keys)


@pytest.mark.parametrize("name", ["digits_demo", "pbmc3k_finetune", "human_msa"])
def test_defaults_are_those_of_a_recipe_that_leaves_them_out(name):
    written = yaml.safe_load(shipped_recipes_by_stem()[name].read_text())
    recipe = load_recipe(name)
    resolved = recipe_document(recipe)
    compared = 0
    for key in list_keys(type(recipe)):
        *sections, last = key.name.split(".")
        given, value = written, resolved
        for section in sections:
            given, value = (given or {}).get(section), (value or {}).get(section)
        if last in (given or {}) or value is None or key.default in ("", "required"):
            continue
        if sections and not isinstance(value, dict):
            continue
        assert value[last] == _read(key.default), key
        compared += 1
    assert compared > 30


def _read(default):
    try:
        return json.loads(default)
    except ValueError:
        return default


def shipped_recipes_by_stem():
    return {path.stem: path for path in shipped_recipes().values()}
