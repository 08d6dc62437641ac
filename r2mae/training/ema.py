"""An exponential moving average of the weights (EMA), kept beside them in checkpoints."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """The moving average of the trained parameters, by their names in the model.

    decay: weight of the previous average in each step. In early steps it is at most
        (1 + steps) / (10 + steps), since the first weights are random.

    Source: TensorFlow's ExponentialMovingAverage with num_updates, for the early steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {}
        self._parameters: list[Tensor] = []

    def start(self, module: nn.Module, saved: dict[str, Tensor] | None) -> None:
        """Start from the average of a checkpoint (saved), or from the weights if None."""
        trained = {
            name: parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._parameters = list(trained.values())
        for name, parameter in trained.items():
            average = parameter.detach().clone()
            if saved is not None:
                average.copy_(saved[name])
            self.tensors[name] = average

    @torch.no_grad()
    def update(self, step: int, skipped: Tensor) -> None:
        """Add the weights after a step to the average.

        step: number of steps done, from 1.
        skipped: () 1 if the step did not change the weights; then nor does the average.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        weight = (1 - decay) * (1 - skipped)
        averages = list(self.tensors.values())
        weights = [weight.to(average.dtype) for average in averages]
        torch._foreach_lerp_(averages, self._parameters, weights)
