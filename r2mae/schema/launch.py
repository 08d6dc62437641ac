"""Launcher and rank of this process, read from the environment.

They are needed before any process group exists.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from r2mae.errors import InputError
from r2mae.schema.recipe import HardwareSection

# Environment variables that r2mae sets for the ranks it starts.
SUPERVISOR = "R2MAE_SUPERVISOR"  # the process that started this rank
FAILURE_FILE = (
    "R2MAE_FAILURE_FILE"  # file for the error message of the first rank that fails
)
_INTERACTIVE = ("bash", "interactive")  # SLURM's names of jobs that are a shell


@dataclass(frozen=True)
class Launch:
    """The launcher of this process, and its place among the others."""

    launcher: Literal["none", "r2mae", "torchrun", "slurm", "other"]
    is_first: bool  # global rank 0, the process that writes files
    rank: int  # global
    world_size: int | None = None  # number of processes, where torchrun or srun set it
    per_node: int | None = None  # processes per machine, likewise
    restarted: bool = False  # whether the launcher runs the same command once more

    @property
    def is_outside(self) -> bool:
        """Whether torchrun or srun, not r2mae, decides the number of processes."""
        return self.launcher in ("torchrun", "slurm")


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """The launch described by the variables of torchrun, srun or r2mae itself.

    An interactive SLURM shell and a batch script before its srun are not launches.
    """

    def number(name: str) -> int:
        return int(environment.get(name) or "0")

    if "TORCHELASTIC_RUN_ID" in environment:
        rank, restarts = number("RANK"), number("TORCHELASTIC_RESTART_COUNT")
        return Launch(
            "torchrun",
            rank == 0,
            rank,
            number("WORLD_SIZE"),
            number("LOCAL_WORLD_SIZE"),
            restarts > 0,
        )
    # Only srun sets a step; sbatch and salloc set the other variables too.
    in_step = "SLURM_STEP_ID" in environment and "SLURM_NTASKS" in environment
    if in_step and environment.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        rank, tasks = number("SLURM_PROCID"), number("SLURM_NTASKS")
        per_node = number("SLURM_NTASKS_PER_NODE") or tasks // max(
            1, number("SLURM_NNODES")
        )
        return Launch(
            "slurm", rank == 0, rank, tasks, per_node, number("SLURM_RESTART_COUNT") > 0
        )
    # Set by r2mae for the ranks that it starts, and by launchers other than the above.
    rank = number("LOCAL_RANK")
    if SUPERVISOR in environment:
        return Launch("r2mae", rank == 0, rank)
    first = all(number(name) == 0 for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))
    return Launch("other" if "LOCAL_RANK" in environment else "none", first, rank)


def check_launch(hardware: HardwareSection, launch: Launch) -> None:
    """Raise InputError unless a recipe's nodes and devices match the processes."""
    if launch.launcher == "none" and hardware.nodes > 1:
        remedy = "Start it by scripts/torchrun.sh or scripts/slurm.sh."
        raise InputError(
            "hardware.nodes must be 1 without a launcher, "
            f"got {hardware.nodes}. {remedy}"
        )
    if not launch.is_outside:
        return
    assert launch.world_size is not None
    assert launch.per_node is not None
    nodes, devices = launch.world_size // launch.per_node, launch.per_node
    if (nodes, devices) != (hardware.nodes, hardware.devices):
        raise InputError(
            f"hardware.nodes and hardware.devices must be the {nodes} x {devices} "
            f"processes of {launch.launcher}, "
            f"got {hardware.nodes} x {hardware.devices}. "
            f"Use --set hardware.nodes={nodes} --set hardware.devices={devices}."
        )
