"""One step once more, looked at closely: which module first gave something that is not finite."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from r2mae.data.source import Batch
from r2mae.training.module import Engine


class Replay(lightning.Callback):
    """Looks at a step (from 1) and lets those before it pass. Saves and logs nothing.

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
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Engine,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """From here on every module is looked at."""
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
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: Engine,
        optimizer: torch.optim.Optimizer,  # noqa: ARG002
    ) -> None:
        """All micro-batches are done: which gradients are not finite."""
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
        """Of the samples whose part of the output is not finite; all of them where it has no part a sample."""
        positions: list[int] = self._batch["positions"].tolist()
        for tensor in _tensors(output):
            if tensor.ndim > 1 and len(tensor) == len(positions):
                strange = ~torch.isfinite(tensor).flatten(1).all(dim=1)
                if strange.any():
                    return [
                        position
                        for position, is_strange in zip(
                            positions, strange.tolist(), strict=True
                        )
                        if is_strange
                    ]
        return positions

    def teardown(
        self, trainer: lightning.Trainer, pl_module: Engine, stage: str
    ) -> None:
        """Look no more."""
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
