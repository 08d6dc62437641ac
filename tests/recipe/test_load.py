import pytest

from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe

DEMOS = ("digits_demo", "topics_demo", "pbmc68k_demo")


@pytest.mark.parametrize("recipe", DEMOS)
def test_a_table_is_no_initial_weights_in_any_modality(recipe, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n")
    with pytest.raises(InputError, match=r"or a file of weights .*got '.*t\.csv'"):
        load_recipe(recipe, [f"model.init_from={table}"])


def test_a_recipe_of_another_task_is_named_with_its_command():
    message = "task must be finetune here, got pretrain. Name a fine-tuning recipe"
    with pytest.raises(InputError, match=message):
        load_recipe("digits_demo", task="finetune")
    message = "task must be pretrain here, got finetune. Name a pretraining recipe"
    with pytest.raises(InputError, match=message):
        load_recipe("digits_finetune", task="pretrain")


@pytest.mark.parametrize(
    ("recipe", "column"),
    [
        ("dna/gue_finetune", "[]"),
        ("language/sst2_finetune", '""'),
        ("vision/digits_finetune", '""'),
        ("cell/pbmc3k_mlp", '""'),
    ],
)
def test_no_column_of_labels_does_not_stand_for_that_of_the_card(recipe, column):
    got = "''" if column == '""' else r"\[\]"
    with pytest.raises(InputError, match=f"label_column must name a column, got {got}"):
        load_recipe(recipe, [f"data.label_column={column}"])
