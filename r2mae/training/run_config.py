"""What a logger shows beside the metrics: the recipe, and what the numbers depend on."""

import platform
from typing import Any

import pytorch_lightning as lightning
import torch

from r2mae.training.module import Engine


def run_config(trainer: lightning.Trainer, engine: Engine) -> dict[str, Any]:
    """The recipe's sections, then commit, versions, data, parameters and machine."""
    described = engine.description
    counts = [(p.numel(), p.requires_grad) for p in engine.model.parameters()]
    machine = {
        "host": platform.node(),
        "device": device_name(trainer.strategy.root_device),
        "world_size": trainer.world_size,
    }
    return {
        **described["recipe"],
        "commit": described["commit"],
        "versions": described["versions"],
        "data_fingerprint": described["data"]["fingerprint"],
        "train_samples": described["data"]["samples"],
        "parameters": sum(count for count, _ in counts),
        "trained_parameters": sum(count for count, trained in counts if trained),
        "machine": machine,
    }


def device_name(device: torch.device) -> str:
    """The name of a GPU's model, or of the processor's architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
