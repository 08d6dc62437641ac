"""AdamW with weight decay on matrices only, and the learning-rate schedule."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from r2mae.training.sharded import complete_on_host, shard_like


@dataclass(frozen=True)
class LearningRate:
    """Linear warm-up to peak, then decay to peak * final_fraction at num_steps."""

    peak: float
    num_steps: int
    warmup_steps: int = 0
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = 0.0

    def at(self, step: int) -> float:
        """Rate for the update that step (0-based) makes; warm-up ends with the full peak."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.num_steps - self.warmup_steps)
        if self.decay == "constant":
            return self.peak
        remaining = (
            (1 + math.cos(math.pi * share)) / 2 if self.decay == "cosine" else 1 - share
        )
        return self.peak * (self.final_fraction + (1 - self.final_fraction) * remaining)


def build_adamw(
    model: Any,
    *,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    layer_decay: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW (fused) over trainable parameters; matrices decay, biases, norms and tokens do not.

    layer_decay: below 1, an encoder layer's rate is this to the power of its distance from the head (`layers()`).
    The learning rate starts at 0: the training step sets it, times a group's "lr_scale".
    """
    depths = model.layers() if layer_decay < 1 else {}
    num_layers = max(depths.values(), default=0) + 1
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = layer_decay ** (num_layers - depths.get(name, num_layers))
            groups.setdefault(
                (weight_decay if is_decayed(name, parameter) else 0.0, scale), []
            ).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "weight_decay": decay, "lr_scale": scale}
            for (decay, scale), params in groups.items()
        ],
        lr=0.0,
        betas=betas,
        eps=eps,
        fused=True,
    )


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Weight decay acts on matrices and kernels, not on vectors, tokens or position tables."""
    return parameter.ndim > 1 and not name.rsplit(".", 1)[-1].endswith(
        ("token", "pos_embed", "positions")
    )


def optimizer_tensors(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The optimizer's state as {<parameter name>/<moment>: tensor}."""
    names: dict[Tensor, str] = {
        parameter: name for name, parameter in module.named_parameters()
    }
    tensors = {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    return complete_on_host(tensors)


def load_optimizer_tensors(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Load the tensors of `optimizer_tensors` into an optimizer, each on its parameter's device."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, moment = key.rsplit("/", 1)
        # AdamW counts its steps in a tensor; fused updates need it on the parameter's device.
        optimizer.state[parameters[name]][moment] = shard_like(value, parameters[name])
