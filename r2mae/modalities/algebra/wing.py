"""The algebra wing: triples (g1, g2, g1 * g2) of finite groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.algebra import checks, lottery_tasks, tasks
from r2mae.modalities.algebra.picture_option import add_picture
from r2mae.modalities.algebra.schema import (
    AlgebraFinetuneRecipe,
    AlgebraPretrainRecipe,
)
from r2mae.wing import Wing
from r2mae.wing_commands import Task

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe


_TASKS = {
    "spectrum": Task(
        "Fourier spectrum of each neuron: components, alignment, rank one, uniformity",
        tasks.score_spectrum,
        tasks.show_spectrum,
        add_picture("spectrum"),
        tasks.conclude_spectrum,
        check=checks.check_spectrum,
    ),
    "vote": Task(
        "accuracy of the majority vote that approximates the network",
        tasks.score_vote,
        tasks.show_vote,
        add_picture("vote"),
        tasks.conclude_vote,
        check=checks.check_vote,
    ),
    "lottery": Task(
        "predict each neuron's component from its initial weights",
        lottery_tasks.score_lottery,
        lottery_tasks.show_lottery,
        add_picture("lottery"),
        lottery_tasks.conclude_lottery,
        check=checks.check_lottery,
    ),
    "alignment_rates": Task(
        "rates of phase alignment under gradient descent, compared with derived ones",
        lottery_tasks.score_rates,
        lottery_tasks.show_rates,
        add_picture("rates"),
        check=checks.check_rates,
    ),
    "stages": Task(
        "stages of grokking, from the curve that training recorded",
        tasks.score_stages,
        tasks.show_stages,
        add_picture("stages"),
        check=checks.check_stages,
    ),
}
_DEMO = Task(
    "spectrum, vote and lottery",
    tasks.score_demo,
    tasks.show_demo,
    tasks.add_demo_arguments,
    tasks.conclude_demo,
    check=checks.check_demo,
)


class AlgebraWing(Wing):
    """Finite groups: masks hide slots of a triple."""

    name = "algebra"
    pretrain_recipe = AlgebraPretrainRecipe
    finetune_recipe = AlgebraFinetuneRecipe
    baseline_name = "one-hot g1 and g2"
    tasks = _TASKS
    demo = _DEMO

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Triples of a split, labelled with their products."""
        from r2mae.modalities.algebra.triples import open_triples

        return open_triples(recipe.data, split)

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """The group and its irreps."""
        from r2mae.modalities.algebra.assembly import describe_data

        return describe_data(recipe)

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """No settings: the triples of the recipe's group are always here."""
        return []

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """A two-layer network or a transformer over three slots."""
        from r2mae.modalities.algebra import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The network without its outputs."""
        from r2mae.modalities.algebra import assembly

        return assembly.build_encoder(recipe)

    def check_same_input(self, loaded: LoadedRun, recipe: AnyRecipe) -> None:
        """Raise InputError unless the group is the run's."""
        if recipe.data.group != loaded.recipe.data.group:
            raise InputError(
                f"data.group of --data must be {loaded.recipe.data.group}, as the "
                f"run's, got {recipe.data.group}. Set it in that recipe."
            )


WING = AlgebraWing()
