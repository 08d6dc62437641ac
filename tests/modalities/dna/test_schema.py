"""DNA's sections: what goes together, what is refused in one line."""

import pytest

from r2mae.errors import InputError
from r2mae.law import UniformRatio
from r2mae.recipe.load import load_recipe, parse_recipe
from r2mae.schema.recipe import recipe_document
from tests.conftest import ROOT

RECIPE = ROOT / "recipes" / "dna" / "ecoli_conv.yaml"
MSA = ROOT / "recipes" / "dna" / "human_msa.yaml"
TRANSFORMER = ROOT / "recipes" / "dna" / "human_transformer.yaml"


def test_law_and_loss_by_default():
    document = recipe_document(load_recipe(str(RECIPE)))
    del document["mask"], document["model"]["loss"]
    recipe = parse_recipe(document, "x")
    assert recipe.mask.ratio == UniformRatio(0.05, 0.3)
    assert recipe.mask.replacement == (0.8, 0.1)
    assert recipe.model.loss.is_plain
    assert not load_recipe(str(MSA)).model.loss.is_plain


def test_the_published_loss_is_the_one_of_the_recipe():
    loss = load_recipe(str(MSA)).model.loss.model_dump()
    wanted = {
        "repeat_weight": 0.1,
        "phylop": True,
        "phastcons_floor": 0.1,
        "smooth": 7,
        "flip_below": 0.1,
    }
    assert loss == wanted | {"flip_share": 0.5}


REFUSED = [
    (RECIPE, "model.kernel=4", "kernel must be odd, got 4"),
    (RECIPE, "model.dilations=[0]", "dilations must be whole numbers from 1"),
    (RECIPE, "model.kmer=3", "kmer must be left out with encoder conv, got 3"),
    (RECIPE, "model.heads=4", "heads must be left out with encoder conv"),
    (RECIPE, "model.pooling=cls", "pooling must be mean with encoder conv"),
    (
        RECIPE,
        "model={encoder: conv, width: 9, rc_equivariant: true}",
        "width must be even with rc_equivariant, got 9",
    ),
    (
        TRANSFORMER,
        "model.rc_equivariant=true",
        "rc_equivariant must be false with encoder modernbert",
    ),
    (RECIPE, "model.encoder=convv", "model.encoder must be 'conv'"),
    (RECIPE, "model.loss.smooth=2", "smooth must be odd, got 2"),
    (
        RECIPE,
        "model.loss.phylop=true",
        "data.tracks.phylop must be given for model.loss",
    ),
    (
        RECIPE,
        "model.loss.flip_share=0.5",
        "data.tracks.phastcons must be given for model.loss",
    ),
    (RECIPE, "mask.pattern=word", "mask.pattern must be 'random' or 'span'"),
    (RECIPE, "mask.replacement=[0.9, 0.2]", "replacement must be two shares"),
    (RECIPE, "data.length=4", "data.length must be at least 8"),
    (
        TRANSFORMER,
        "model.kmer=6",
        "model.kmer must be 1 with an alignment or weights of the loss, got 6",
    ),
    (MSA, "model.kmer=4", "model.kmer must be 1 with an alignment"),
    (MSA, "data.alignment.species=1", "data.alignment.species must be at least 2"),
]


@pytest.mark.parametrize(
    ("path", "setting", "words"), REFUSED, ids=[setting for _, setting, _ in REFUSED]
)
def test_refused_in_one_line(path, setting, words):
    with pytest.raises(InputError) as found:
        load_recipe(str(path), [setting])
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_k_mers_must_fill_a_window():
    plain = ["model.loss={}", "model.kmer=6"]
    with pytest.raises(
        InputError, match=r"data\.length must be whole tokens of 6 bases"
    ):
        load_recipe(str(TRANSFORMER), [*plain, "data.length=500"])
    assert load_recipe(str(TRANSFORMER), [*plain, "data.length=510"]).model.kmer == 6
