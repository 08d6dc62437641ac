"""Data and models of a recipe on a finite group."""

import math
from typing import Any

import torch
from torch import nn

from r2mae.data.source import hold_out, rows_in_root
from r2mae.errors import InputError
from r2mae.modalities.algebra.group import open_group
from r2mae.modalities.algebra.irreps import components_of
from r2mae.modalities.algebra.models.curve import CurvePlan
from r2mae.modalities.algebra.triples import all_triples, open_triples, split_rows
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.start import init_from_run


def build_masked(recipe: AnyRecipe) -> nn.Module:
    """A two-layer network or a transformer over three slots, with an empty curve."""
    from r2mae.modalities.algebra.models.transformer import SlotTransformer
    from r2mae.modalities.algebra.models.two_layer import TwoLayerNetwork

    section, size = recipe.model, len(open_group(recipe.data.group))
    options: dict[str, Any] = {
        "product_only": recipe.mask.slots == "product",  # type: ignore[attr-defined]
        "plan": curve_plan(recipe),
    }
    model: Any
    if section.encoder == "transformer":
        _check_heads(section)
        shape = (section.width, section.depth, section.heads)
        model = SlotTransformer(size, *shape, **options)
    else:
        activation, scale = section.activation, section.init_scale
        model = TwoLayerNetwork(size, section.width, activation, scale, **options)
    init_from_run(model, section.init_from)
    model.curve.values.zero_()  # the curve of the source is not this run's
    return model  # type: ignore[no-any-return]


def build_encoder(recipe: AnyRecipe) -> nn.Module:
    """The network without its outputs."""
    from r2mae.modalities.algebra.models.transformer import SlotTransformerEncoder
    from r2mae.modalities.algebra.models.two_layer import TwoLayerEncoder

    section, size = recipe.model, len(open_group(recipe.data.group))
    model: nn.Module
    if section.encoder == "transformer":
        _check_heads(section)
        model = SlotTransformerEncoder(
            size, section.width, section.depth, section.heads
        )
    else:
        model = TwoLayerEncoder(
            size, section.width, section.activation, section.init_scale
        )
    return init_from_run(model, section.init_from)


def _check_heads(section: Any) -> None:
    if section.width % section.heads:
        raise InputError(
            f"model.width must be a multiple of model.heads = {section.heads}, "
            f"got {section.width}. Change one of the two."
        )


def curve_plan(recipe: AnyRecipe) -> CurvePlan:
    """When and on which triples the curve of a run is recorded."""
    with torch.device("cpu"):  # also while a model is outlined on the meta device
        return _curve_plan(recipe)


def _curve_plan(recipe: AnyRecipe) -> CurvePlan:
    section = recipe.data
    group = open_group(section.group)
    train_rows, _ = split_rows(section, group)
    train, _ = hold_out(open_triples(section, "train"), section.held_out)
    is_training = torch.zeros(len(group) ** 2, dtype=torch.bool)
    is_training[train_rows[rows_in_root(train)]] = True
    batch, points = recipe.batch.global_samples, recipe.model.curve_points
    steps = max(1, round(_planned_samples(recipe, len(train)) / batch))
    return CurvePlan(
        torch.from_numpy(all_triples(group)),
        is_training,
        components_of(section.group),
        batch * math.ceil(steps / points),
        points,
    )


def _planned_samples(recipe: AnyRecipe, train_samples: int) -> float:
    """Samples of training, with repetition."""
    schedule = recipe.schedule
    if schedule.steps is not None:
        return schedule.steps * recipe.batch.global_samples
    if schedule.epochs is not None:
        return schedule.epochs * train_samples
    if schedule.samples is not None:
        return schedule.samples
    return (schedule.tokens or 0) / 3


def describe_data(recipe: AnyRecipe) -> dict[str, str]:
    """The group, and the components that its functions split into."""
    group = open_group(recipe.data.group)
    components = [one for one in components_of(group.name) if not one.is_trivial]
    dimensions = [str(one.dimension) for one in components]
    shown = ", ".join(dimensions[:20]) + (", ..." if len(dimensions) > 20 else "")
    commutes = "abelian" if group.is_abelian else "not abelian"
    return {
        "group": f"{group.name}: {len(group)} elements, {commutes}, {len(group) ** 2:,} "
        f"triples; {len(components)} non-constant components of irreps with "
        f"dimensions {shown}"
    }
