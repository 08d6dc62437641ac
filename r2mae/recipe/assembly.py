"""A recipe -> its model and its data, whatever its modality."""

from argparse import Namespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import pad

from r2mae.data.source import SampleSource, hold_out
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import is_here

_MOST_SAMPLES = 5_000  # that `theory recommend` reads
_MOST_VALUES = 100_000_000


def build_model(recipe: AnyRecipe, num_classes: int | None = None) -> nn.Module:
    """The recipe's model with initial weights that depend on its seed alone.

    num_classes: of a fine-tuning recipe's classifier; not needed for pretraining recipes.
    """
    return find_wing(recipe.modality).build_model(recipe, num_classes)


def build_outline(recipe: AnyRecipe, num_classes: int | None = None) -> nn.Module:
    """The recipe's model on torch's meta device: shapes and costs without memory for weights.

    A recipe with `init_from` is built in full, to check that the weights fit, if they are on this machine.
    """
    if is_here(recipe.model.init_from):
        return build_model(recipe, num_classes)
    bare = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"init_from": None})}
    )
    with torch.device("meta"):
        return build_model(bare, num_classes)


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """All samples of a split, "train" or "test"."""
    return find_wing(recipe.modality).open_split(recipe, split)


def open_paths(
    recipe: AnyRecipe, paths: list[str], arguments: Namespace
) -> SampleSource:
    """Samples that a user names on the command line, read as the recipe reads its own.

    arguments: the options that the wing's `add_path_arguments` declares.
    """
    return find_wing(recipe.modality).open_paths(recipe, paths, arguments)


def is_data_here(recipe: AnyRecipe) -> bool:
    """Whether a recipe's data can be read without fetching it from a hub."""
    return find_wing(recipe.modality).is_data_here(recipe)


def check_watchable(train: SampleSource, held_out: SampleSource) -> None:
    """Raise InputError when there are too few samples to measure on."""
    if min(len(train), len(held_out)) < 2:
        raise InputError(
            "data must hold at least 2 samples to train and 2 held out, "
            f"got {len(train)} and {len(held_out)}. "
            "Use more data or another data.held_out."
        )


def count_training_samples(recipe: AnyRecipe) -> tuple[int, dict[str, Any]]:
    """(number of training samples, description); counts come from the card if the data is not here.

    Raises: InputError when the data is missing at a given root, its card does not count
    it, or it is too small to train and validate on.
    """
    wing = find_wing(recipe.modality)
    if not wing.is_data_here(recipe):
        return _count_by_card(recipe)
    train, held_out = open_training_data(recipe)
    check_watchable(train, held_out)
    counts = f"{len(train):,} samples to train, {len(held_out):,} held out"
    about = {
        "title": f"{wing.name}, read without a data card",
        "licence": "not stated",
        "location": f"{counts}, fingerprint {train.fingerprint}",
    }
    if hasattr(recipe.data, "card"):
        from r2mae.data.card import load_card, locate

        card = load_card(recipe.data.card)
        place = locate(card, recipe.data.root) or card.embedded
        about = {
            "title": card.title,
            "licence": card.licence,
            "location": f"{place}: {about['location']}",
        }
    return len(train), about | wing.describe_data(recipe)


def _count_by_card(recipe: AnyRecipe) -> tuple[int, dict[str, Any]]:
    from r2mae.data.card import load_card, missing_data

    card = load_card(recipe.data.card)
    listed = card.num_samples.get("train")
    if listed is None:
        raise missing_data(card)
    where = f"read from hub id {card.hub}" if card.hub else f"get it from {card.source}"
    expected = find_wing(recipe.modality).expected_samples(recipe, listed)
    about = {
        "title": card.title,
        "licence": card.licence,
        "location": f"not on this machine; {where}",
    }
    return expected - round(recipe.data.held_out * expected), about


def open_training_data(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out of the training split)."""
    return hold_out(open_split(recipe, "train"), recipe.data.held_out)


def read_tokens(
    recipe: AnyRecipe,
) -> tuple[npt.NDArray[np.float32] | npt.NDArray[np.int64], int]:
    """(token values (n, T, P) or ids (n, T), number of training samples).

    n is limited by memory; the samples are evenly spread. An id of -1 is a position that
    is never masked.

    Raises: InputError when the data is not there.
    """
    train = open_training_data(recipe)[0]
    outline: Any = build_outline(recipe)
    probe = outline.tokens(train.load(torch.arange(1), None, 0))
    most = min(_MOST_SAMPLES, _MOST_VALUES // probe.numel(), len(train))
    rows = torch.linspace(0, len(train) - 1, most, dtype=torch.float64).long()
    parts = [outline.tokens(train.load(part, None, 0)) for part in rows.split(256)]
    if not probe.is_floating_point():  # rows of sequences may differ in length
        length = max(part.shape[1] for part in parts)
        parts = [pad(part, (0, length - part.shape[1]), value=-1) for part in parts]
    return torch.cat(parts).numpy(), len(train)
