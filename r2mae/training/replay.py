"""Repeats one step and finds the first module whose output is not finite."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from r2mae.data.source import Batch
from r2mae.training.module import Engine


class Replay(lightning.Callback):
    """Inspects one step (counted from 1). Saves and logs nothing.

    finding: what went wrong first in the forward pass, or None.
    gradients: parameters whose gradient is not finite.
    weights: parameters and buffers that are not finite before the step.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.finding: dict[str, Any] | None = None
        self.gradients: list[str] = []
        self.weights: list[str] = []
        self._batch: Batch = {}
        self._hooks: list[Any] = []

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Inspect every module's output from here on."""
        if pl_module.steps_done + 1 != self.step:
            return
        self._batch = batch
        if not self._hooks:
            state = (
                *pl_module.model.named_parameters(),
                *pl_module.model.named_buffers(),
            )
            self.weights = [name for name, tensor in state if not _is_finite(tensor)]
            for name, module in pl_module.model.named_modules():
                self._hooks.append(
                    module.register_forward_hook(self._look(name), with_kwargs=True)
                )

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: Engine,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Note which gradients are not finite, after the last micro-batch."""
        if self._hooks:
            named = pl_module.model.named_parameters()
            self.gradients = [
                name
                for name, p in named
                if p.grad is not None and not _is_finite(p.grad)
            ]

    def _look(self, name: str) -> Any:
        def look(module: nn.Module, inputs: Any, options: Any, output: Any) -> None:
            if self.finding is not None or _is_finite(output):
                return
            own = [key for key in self.weights if key.rpartition(".")[0] == name]
            self.finding = {
                "module": name or "the model itself",
                "type": type(module).__name__,
                "inputs_finite": _is_finite((inputs, options)),
                "weights_not_finite": own,
                "positions": self._positions(output),
            }

        return look

    def _positions(self, output: Any) -> list[int]:
        """Positions of samples whose output is not finite; all where the output has no batch dimension."""
        positions: list[int] = self._batch["positions"].tolist()
        for tensor in _tensors(output):
            if tensor.ndim > 1 and len(tensor) == len(positions):
                is_bad = ~torch.isfinite(tensor).flatten(1).all(dim=1)
                if is_bad.any():
                    return [
                        position
                        for position, bad in zip(
                            positions, is_bad.tolist(), strict=True
                        )
                        if bad
                    ]
        return positions

    def teardown(
        self, trainer: lightning.Trainer, pl_module: Engine, stage: str
    ) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()


def _is_finite(value: Any) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors in nested containers and dataclasses."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _tensors(
            [getattr(value, field.name) for field in dataclasses.fields(value)]
        )
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
