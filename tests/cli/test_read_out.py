"""`--layer` and `--pool`: the read-out of a run, what is reported of it, and what is refused."""

from argparse import Namespace

import pytest

from r2mae.cli.read_out import find_read_out, show_read_out
from r2mae.errors import InputError
from r2mae.evaluation.read_out import ReadOut
from tests.interop.encoders import load_encoder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return load_encoder("ViT", tmp_path_factory.mktemp("vit"))  # 2 layers


def find(loaded, layer="last", pool=None):
    arguments = Namespace(layer=layer, pool=pool)
    return find_read_out(loaded, loaded.recipe, arguments)


def test_the_default_says_nothing(vit, capsys):
    loaded, about = find(vit)
    assert (loaded.read_out, about) == (ReadOut(), {})
    show_read_out(about)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("layer", "number"), [(1, 1), (-1, 2), (-2, 1)])
def test_layers_from_the_end_get_their_number(vit, layer, number):
    loaded, about = find(vit, layer, "mean")
    assert loaded.read_out == ReadOut(number, "mean")
    assert about == {"layer": number, "pool": "mean"}
    assert vit.read_out == ReadOut()  # the run that was given is as before


def test_a_layer_that_is_not_there_is_refused(vit):
    with pytest.raises(InputError, match="layer must be"):
        find(vit, 3)


def test_layers_that_were_compared_are_printed(capsys):
    accuracy = {
        "1": {"knn": {"10": 0.5, "all": 0.75}},
        "2": {"knn": {"10": 0.25, "all": 1.0}},
    }
    show_read_out(
        {"layer_choice": {"layer": 2, "held_out": 1200, "accuracy": accuracy}}
    )
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("layer 2 of 2: the highest accuracy on 1,200 held-out")
    assert rows == [
        "  layer 1: knn 0.500 (10), 0.750 (all)",
        "  layer 2: knn 0.250 (10), 1.000 (all)",
    ]
