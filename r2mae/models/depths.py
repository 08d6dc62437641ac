"""Depth of parameters, for layer-wise learning rates."""

from collections.abc import Mapping

from torch import nn


def parameter_depths(module: nn.Module, depths: Mapping[str, int]) -> dict[str, int]:
    """Parameter name -> depth; block i, under `blocks.<i>.`, has depth i + 1.

    depths: of the other parts of the encoder, by the first component of the name.
    Parameters of neither, a decoder's for example, are left out.
    """
    result: dict[str, int] = {}
    for name, _ in module.named_parameters():
        part, _, rest = name.partition(".")
        if part == "blocks":
            result[name] = int(rest.partition(".")[0]) + 1
        elif part in depths:
            result[name] = depths[part]
    return result
