"""Activation checkpointing: blocks keep their inputs and run again in backward.

Memory for activations falls to one block's and the inputs of all; a step computes every
block's forward pass twice. torch restores the random state, so dropout draws the same.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

_run_again = partial(checkpoint, use_reentrant=False)


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Let modules recompute their activations, also where `run_block` computes them."""
    for block in blocks:
        block.forward = partial(_run_again, block.forward)  # type: ignore[method-assign]
        block.recomputes = True  # type: ignore[assignment]


def no_blocks(name: str, got: str = "none") -> str:
    """The message for a model whose activations cannot be recomputed."""
    return (
        f"hardware.recompute must be null for {name}, which must have repeated blocks "
        f"without BatchNorm, got {got}. Lower batch.per_device_samples to save memory."
    )


def run_block(function: Callable[..., Any], block: nn.Module, *arguments: Any) -> Any:
    """function(block, *arguments), recomputed in backward where the block is.

    For computations that use a block's parts instead of calling it. Whatever may change
    before backward must be among the arguments.
    """
    if getattr(block, "recomputes", False):
        return _run_again(function, block, *arguments)
    return function(block, *arguments)
