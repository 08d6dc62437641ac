"""Throughput of training, share of time waiting for data, and model FLOP utilization."""

import re
import resource
import time
from collections.abc import Callable

import pytorch_lightning as lightning
import torch
from pytorch_lightning.profilers import Profiler

from r2mae.training.step import StepReport

# Dense TFLOP/s of tensor cores in bfloat16 and TF32, and of float32 without them.
# Source: NVIDIA's data sheets; the sparse figures there are twice as high.
_PEAK_TFLOPS = {
    "B200": (2250.0, 1125.0, 75.0),
    "H200": (989.4, 494.7, 66.9),
    "H100 PCIe": (756.0, 378.0, 51.2),
    "H100 NVL": (835.0, 417.5, 60.0),
    "H100": (989.4, 494.7, 66.9),
    "A100": (312.0, 156.0, 19.5),
    "L40S": (362.0, 183.0, 91.6),
    "A40": (149.7, 74.8, 37.4),
    "L4": (121.0, 60.0, 30.3),
    "RTX 4090": (165.2, 82.6, 82.6),
}


class DataWait(Profiler):
    """Sums the seconds that the training process waits for its data loader.

    Lightning calls `start` and `stop` around every part of a step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._start = 0.0

    def start(self, action_name: str) -> None:
        """A part of the step starts."""
        if action_name.endswith("train_dataloader_next"):
            self._start = time.monotonic()

    def stop(self, action_name: str) -> None:
        """A part of the step ends."""
        if action_name.endswith("train_dataloader_next"):
            self.seconds += time.monotonic() - self._start


class Throughput:
    """Rates of all ranks between two reports; data waits and memory of this rank.

    global_samples: samples of a step, over all ranks.
    training_flops: FLOPs of forward and backward per token, given the visible share of
        tokens; where nothing is hidden, per sample, given None.
    """

    def __init__(
        self, global_samples: int, training_flops: Callable[[float | None], float]
    ) -> None:
        self.global_samples = global_samples
        self.training_flops = training_flops
        self._peak_flops: float | None = None  # per second, of all devices
        self._visible = self._tokens = 0.0  # of all ranks, since the last report
        self._start_step, self._start, self._waited = 0, 0.0, 0.0

    def start(self, trainer: lightning.Trainer, step: int) -> None:
        """Start measuring; step: number of steps done before."""
        device = trainer.strategy.root_device
        if device.type == "cuda":
            peak = peak_flops(
                torch.cuda.get_device_name(device),
                is_bf16=trainer.precision.startswith("bf16"),
                is_tf32=torch.get_float32_matmul_precision() != "highest",
            )
            self._peak_flops = None if peak is None else peak * trainer.world_size
        self._mark(trainer, step)

    def add(self, report: StepReport, world_size: int) -> None:
        """Count the tokens of a step."""
        if report.mask_ratio is not None and report.mask_ratio < 1:
            visible = report.num_visible * world_size
            self._visible += visible
            self._tokens += visible / (1 - report.mask_ratio)

    def read(self, trainer: lightning.Trainer, step: int) -> dict[str, float]:
        """Rates since the last report; the device must have finished the step."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        samples = (step - self._start_step) * self.global_samples
        rates = {"train/samples_per_second": samples / seconds}
        if self._tokens:
            rates["train/visible_tokens_per_second"] = self._visible / seconds
        rates["train/data_wait_share"] = (_waited(trainer) - self._waited) / seconds
        rates["train/peak_memory_gib"] = _peak_memory_gib(trainer.strategy.root_device)
        if self._peak_flops is not None:
            flops = self._flops(samples) / seconds
            rates["train/model_flop_utilization"] = flops / self._peak_flops
        self._mark(trainer, step)
        return rates

    def _flops(self, samples: int) -> float:
        if self._tokens:
            return self._tokens * self.training_flops(self._visible / self._tokens)
        return samples * self.training_flops(None)

    def _mark(self, trainer: lightning.Trainer, step: int) -> None:
        self._visible = self._tokens = 0.0
        self._waited = _waited(trainer)
        self._start_step, self._start = step, time.monotonic()


def peak_flops(device_name: str, *, is_bf16: bool, is_tf32: bool) -> float | None:
    """Peak FLOP/s by the GPU's data sheet; None for a GPU that is not listed."""
    for name, (bf16, tf32, fp32) in _PEAK_TFLOPS.items():
        if re.search(rf"\b{name}\b", device_name):
            return 1e12 * (bf16 if is_bf16 else tf32 if is_tf32 else fp32)
    return None


def _waited(trainer: lightning.Trainer) -> float:
    profiler = trainer.profiler  # type: ignore[attr-defined]
    return profiler.seconds if isinstance(profiler, DataWait) else 0.0


def _peak_memory_gib(device: torch.device) -> float:
    """Peak memory of tensors on a GPU, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
