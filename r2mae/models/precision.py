"""The precision in which a model computes, by `hardware.precision`."""

import torch


def autocast(device_type: str, precision: str) -> torch.autocast:
    """The context of forward passes: in bf16-mixed, matrix products are rounded to bf16.

    One rule for training's validation, evaluation and rehearsals, on GPUs and CPUs.
    Training itself uses Lightning's context, which is the same.
    """
    is_bf16 = precision == "bf16-mixed"
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=is_bf16)
