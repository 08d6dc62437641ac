"""Which recipes the tasks of `evaluate` on finite groups have a meaning for."""

from argparse import Namespace

from r2mae.errors import InputError
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import require_pretraining


def _require_two_layers(
    recipe: AnyRecipe, task: str, *, quadratic: bool = False
) -> None:
    require_pretraining(recipe, task)
    model = recipe.model
    if model.encoder != "two_layer":
        raise InputError(
            f"task {task} must have a two-layer network, got model.encoder "
            f"{model.encoder}. Use another recipe or run."
        )
    if quadratic and model.activation != "quadratic":
        raise InputError(
            f"task {task} must have a quadratic activation, for which it is derived, "
            f"got {model.activation}. Use another recipe or run."
        )


def _require_known_start(recipe: AnyRecipe, task: str) -> None:
    if recipe.model.init_from is not None:
        raise InputError(
            f"task {task} must have a run whose initial weights follow from its seed, "
            f"got model.init_from {recipe.model.init_from}. Use another recipe or run."
        )


def check_spectrum(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for other networks than two layers."""
    _require_two_layers(recipe, "spectrum")


def check_vote(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for other networks than two layers."""
    _require_two_layers(recipe, "vote")


def check_lottery(recipe: AnyRecipe, arguments: Namespace) -> None:
    """Raise InputError for networks or a picture that the closed form is not derived for."""
    from r2mae.modalities.algebra.group import open_group

    _require_two_layers(recipe, "lottery", quadratic=True)
    _require_known_start(recipe, "lottery")
    group = recipe.data.group
    if arguments.lottery_picture is None:
        return
    if not (_hides_product(recipe) and open_group(group).is_abelian):
        raise InputError(
            "--lottery-picture must have an abelian group whose product is hidden, "
            f"got {group}. Leave it out."
        )


def check_rates(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for networks or groups that the rates are not derived for."""
    from r2mae.modalities.algebra.irreps import components_of
    from r2mae.modalities.algebra.rates import is_complex

    _require_two_layers(recipe, "alignment_rates", quadratic=True)
    _require_known_start(recipe, "alignment_rates")
    group = recipe.data.group
    varying = tuple(one for one in components_of(group) if not one.is_trivial)
    if not (_hides_product(recipe) and is_complex(varying)):
        raise InputError(
            "task alignment_rates must have a cyclic group of odd order whose "
            f"product is hidden, got {group}. Use another recipe or run."
        )


def check_stages(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for a fine-tuned run, which records no curve."""
    require_pretraining(recipe, "stages")


def check_demo(recipe: AnyRecipe, arguments: Namespace) -> None:
    """Raise InputError for networks that a task of the demo has no meaning for."""
    check_spectrum(recipe, arguments)
    check_lottery(recipe, arguments)


def _hides_product(recipe: AnyRecipe) -> bool:
    slots: str = recipe.mask.slots  # type: ignore[attr-defined]
    return slots == "product"
