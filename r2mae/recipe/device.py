"""The device that a recipe trains on, and what messages and run.json say about it."""

import os
import platform
from typing import Any

import torch

from r2mae.errors import InputError
from r2mae.schema.launch import read_launch
from r2mae.schema.recipe import AnyRecipe


def choose_accelerator(recipe: AnyRecipe) -> str:
    """ "gpu" or "cpu".

    Raises: InputError when a recipe needs more GPUs than this process sees.
    """
    hardware, available = recipe.hardware, torch.cuda.device_count()
    if hardware.accelerator == "cpu" or (
        hardware.accelerator == "auto" and not available
    ):
        return "cpu"
    launch = read_launch()
    if available < hardware.devices and not (available == 1 and launch.binds_gpus):
        remedy = "Set hardware.devices, or hardware.accelerator: cpu."
        if launch.launcher == "slurm":
            per_node = hardware.devices
            remedy = f"Give sbatch --gpus-per-node={per_node}, or --gpus-per-task=1."
        raise InputError(
            f"hardware.devices must be at most the {available} GPUs here, "
            f"got {hardware.devices}. {remedy}"
        )
    return "gpu"


def num_visible_devices(recipe: AnyRecipe) -> int:
    """Devices of this machine that this process sees, for Lightning.

    1 where srun gives each task a GPU of its own, which is cuda:0 in each.
    """
    gpus = torch.cuda.device_count() if choose_accelerator(recipe) == "gpu" else 0
    return 1 if gpus == 1 else recipe.hardware.devices


def describe_device(recipe: AnyRecipe) -> dict[str, Any]:
    """{"host", "device", "precision", "nodes", "processes"}, for run.json.

    host and device are those of the first process.
    """
    hardware, device = recipe.hardware, "cpu"
    if choose_accelerator(recipe) == "gpu":
        device = torch.cuda.get_device_name(0)
    return {
        "host": platform.node(),
        "device": device,
        "precision": hardware.precision,
        "nodes": hardware.nodes,
        "processes": hardware.replicas,
    }


def fallback_notice(recipe: AnyRecipe) -> str | None:
    """A line where hardware.accelerator: auto trains on the CPU for want of a GPU."""
    if recipe.hardware.accelerator != "auto" or choose_accelerator(recipe) == "gpu":
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.version.cuda is None and torch.version.hip is None:
        reason = "this torch is built without CUDA"
    elif visible is not None:
        reason = f"CUDA_VISIBLE_DEVICES is {visible!r}"
    else:
        reason = "torch sees none; check nvidia-smi"
    return f"hardware.accelerator: auto found no GPU ({reason}); training on the CPU"


def emulated_notice(recipe: AnyRecipe) -> str | None:
    """A line where the CPU has no bfloat16 instructions, so that bf16 is slower than float32."""
    if recipe.hardware.precision != "bf16-mixed" or choose_accelerator(recipe) == "gpu":
        return None
    if not emulates_bf16():
        return None
    return (
        "hardware.precision: bf16-mixed is emulated on this CPU, and slower than "
        "--set hardware.precision=32-true"
    )


def emulates_bf16() -> bool:
    """Whether this CPU is known to have no bfloat16 instructions."""
    read = getattr(torch.cpu, "get_capabilities", dict)  # not in torch 2.11
    capabilities: dict[str, Any] = read()
    has_bf16 = any(have for name, have in capabilities.items() if "bf16" in name)
    return bool(capabilities) and not has_bf16


def out_of_memory(recipe: AnyRecipe, error: BaseException) -> InputError:
    """The error for torch's OutOfMemoryError, with the next smaller micro-batch."""
    samples = recipe.per_device_samples
    per_process = recipe.batch.global_samples // recipe.hardware.replicas
    smaller = [n for n in range(1, samples // 2 + 1) if per_process % n == 0]
    if smaller:
        remedy = (
            f"Use --set batch.per_device_samples={smaller[-1]}: gradients are "
            "accumulated, and the global batch stays the same."
        )
    elif recipe.hardware.precision == "32-true":
        remedy = "Use --set hardware.precision=bf16-mixed, or a smaller model."
    else:
        remedy = "Use a smaller model."
    # "CUDA out of memory. Tried to allocate <size>. GPU 0 has a total capacity of ..."
    reason = "; ".join(str(error).split(". ")[1:3]) or "out of memory"
    return InputError(
        f"batch.per_device_samples must fit into the GPU's memory, got {samples} "
        f"({reason}). {remedy}"
    )
