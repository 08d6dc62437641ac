"""Which tokenizer a recipe or an option names."""

import pytest

from r2mae.errors import InputError
from r2mae.modalities.language.tokenizer import data_with_tokenizer, named_tokenizer
from r2mae.recipe.load import load_recipe


def test_a_run_that_is_not_trained_is_refused_by_the_key_that_names_it(scratch):
    (scratch / "runs/empty/checkpoints").mkdir(parents=True)
    (scratch / "runs/empty/recipe.yaml").write_text("")
    changes = ["data.tokenizer=runs/empty", "model.init_from=null"]
    with pytest.raises(InputError, match=r"^data.tokenizer: runs/empty must hold"):
        data_with_tokenizer(load_recipe("gutenberg_tiny", changes))
    with pytest.raises(InputError, match=r"^--tokenizer: runs/empty must hold"):
        named_tokenizer("runs/empty")
