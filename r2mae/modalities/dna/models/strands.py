"""Reverse-complement equivariance: weights of convolutions shared between both strands.

The D features of a base are two halves, one for each strand. The features of the reverse complement are those of
the sequence in reversed order with their halves swapped; logits are those of the complements. Half of each weight is a
parameter, from which the other half follows. The number of operations is unchanged.

Source: Zhou et al. 2022, "Towards a better understanding of reverse-complement equivariance for deep learning models in
genomics"; Mallet and Vert 2021, "Reverse-complement equivariant networks for DNA sequences".
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from r2mae.modalities.dna.models.columns import NUM_LETTERS, OTHER_LETTERS

_COMPLEMENTS = (3, 2, 1, 0)  # of A C G T; other codes are their own


class Tied(nn.Module):
    """A weight of which the first half along a dimension is the parameter.

    second: the second half as a function of the first.
    """

    def __init__(self, second: Callable[[Tensor], Tensor], dim: int = 0) -> None:
        super().__init__()
        self.second, self.dim = second, dim

    def forward(self, first: Tensor) -> Tensor:
        """The complete weight."""
        return torch.cat([first, self.second(first)], dim=self.dim)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The parameter of an untied weight."""
        return weight.chunk(2, self.dim)[0].clone()


def tie_strands(model: Any) -> None:
    """Share the weights of a `DnaConv` of an even width between both strands, in place."""
    _tie(model.letters, "weight", _complemented_letters, dim=1)
    if model.columns is not None:
        _tie(model.columns.project, "weight", _complemented_columns)
    for block in model.blocks:
        _tie(block.conv, "weight", _swapped_and_reversed)
        _tie(block.mix, "weight", _swapped)
        for layer, name in (
            (block.conv, "bias"),
            (block.mix, "bias"),
            (block.norm, "weight"),
            (block.norm, "bias"),
        ):
            _tie(layer, name, _equal)
    _tie(model.norm, "weight", _equal)
    _tie(model.norm, "bias", _equal)


def tie_head(predict: nn.Linear) -> None:
    """Share the weights of A and T, and of C and G, in place."""
    _tie(predict, "weight", _of_complements)
    _tie(predict, "bias", _reversed)


def untie_strands(model: nn.Module) -> None:
    """Turn shared weights into plain ones of the same values, in place."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)


def _tie(
    layer: nn.Module, name: str, second: Callable[[Tensor], Tensor], dim: int = 0
) -> None:
    parametrize.register_parametrization(layer, name, Tied(second, dim))


def _equal(weight: Tensor) -> Tensor:
    return weight


def _reversed(weight: Tensor) -> Tensor:
    return weight.flip(0)


def _swapped(weight: Tensor) -> Tensor:
    """(D / 2, D, ...) with the halves of the inputs swapped."""
    return weight.roll(weight.shape[1] // 2, 1)


def _swapped_and_reversed(weight: Tensor) -> Tensor:
    """(D / 2, D, 1, K): as `_swapped`, and the kernel from its other end."""
    return _swapped(weight).flip(-1)


def _of_complements(weight: Tensor) -> Tensor:
    """(2, D) rows of A and C -> those of G and T."""
    return _swapped(weight).flip(0)


def _complemented_letters(weight: Tensor) -> Tensor:
    """(NUM_LETTERS, D / 2) embeddings of the complements."""
    return weight[_complements(NUM_LETTERS)]


def _complemented_columns(weight: Tensor) -> Tensor:
    """(D / 2, species x OTHER_LETTERS) weights of the complements."""
    by_letter: Tensor = weight.unflatten(1, (-1, OTHER_LETTERS))
    return by_letter[:, :, _complements(OTHER_LETTERS)].flatten(1)


def _complements(num_codes: int) -> list[int]:
    return [*_COMPLEMENTS, *range(len(_COMPLEMENTS), num_codes)]
