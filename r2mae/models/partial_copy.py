"""Copies of modules that share parameters, for features of an earlier layer."""

import copy
from typing import Any, TypeVar

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def copy_with(module: AnyModule, **changes: Any) -> AnyModule:
    """A copy with other attributes or submodules; all else is shared, weights included."""
    changed = copy.copy(module)
    # `copy.copy` shares the dictionary of submodules, in which setattr would write.
    changed._modules = dict(module._modules)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed
