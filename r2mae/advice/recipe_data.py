"""The token values of a recipe's training data, as the theory takes them."""

from typing import Any

from r2mae.advice.categories import window_features
from r2mae.schema.recipe import AnyRecipe


def read_token_values(recipe: AnyRecipe) -> tuple[Any, int]:
    """(token values (n, T, P), samples of the training set) of a recipe.

    Categories, such as words or bases, become numeric features.

    Raises: InputError where the data is missing, or too small.
    """
    # Imported here because it loads torch.
    from r2mae.recipe.assembly import read_tokens

    tokens, num_rows = read_tokens(recipe)
    if tokens.ndim == 2:  # ids of categories
        return window_features(tokens, num_rows)  # type: ignore[arg-type]
    return tokens, num_rows
