"""Launcher and rank of this process, read from the environment.

Both are needed before a process group exists.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from r2mae.errors import InputError
from r2mae.schema.recipe import HardwareSection

# Environment variables that r2mae sets for the ranks it starts.
SUPERVISOR = "R2MAE_SUPERVISOR"  # the process that started this rank
# The file for the error message of the first rank that fails.
FAILURE_FILE = "R2MAE_FAILURE_FILE"
_SHELL_JOBS = ("bash", "interactive")  # SLURM's job names of interactive shells
# SLURM's step ids from here on are those of interactive, batch and extern steps.
_FIRST_SPECIAL_STEP = 0xFFFFFFF0
# srun's options that give each task GPUs of its own.
_GPU_BINDING = (
    "SLURM_GPUS_PER_TASK",
    "SLURM_NTASKS_PER_GPU",
    "SLURM_GPU_BIND",
    "SLURM_TRES_PER_TASK",
)


def failure_report(failure: Path, pid: int) -> Path:
    """The report of one rank, beside `failure`, the report of the first that failed."""
    return failure.with_name(f"{failure.name}.{pid}")


@dataclass(frozen=True)
class Launch:
    """The launcher of this process, and its rank.

    is_first: whether this is global rank 0, which writes files.
    rank: global rank.
    world_size: number of processes, where torchrun or srun starts them.
    per_node: number of processes on each machine, where torchrun or srun starts them;
        None if it differs between machines.
    restarted: whether the launcher has started this command before.
    binds_gpus: whether srun shows each task only GPUs of its own.
    """

    launcher: Literal["none", "r2mae", "torchrun", "slurm", "other"]
    is_first: bool
    rank: int
    world_size: int | None = None
    per_node: int | None = None
    restarted: bool = False
    binds_gpus: bool = False

    @property
    def is_outside(self) -> bool:
        """Whether torchrun or srun, not r2mae, decides the number of processes."""
        return self.launcher in ("torchrun", "slurm")


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """The launch described by the variables of torchrun, srun or r2mae itself.

    "none" in a batch script without srun, in an interactive SLURM shell and in a step of
    one task: r2mae starts its ranks itself there.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        rank = _number(environment, "RANK")
        return Launch(
            "torchrun",
            rank == 0,
            rank,
            _number(environment, "WORLD_SIZE"),
            _number(environment, "LOCAL_WORLD_SIZE"),
            restarted=_number(environment, "TORCHELASTIC_RESTART_COUNT") > 0,
        )
    restarted = _number(environment, "SLURM_RESTART_COUNT") > 0
    # LOCAL_RANK is set by r2mae for the ranks that it starts, and by other launchers.
    local_rank = _number(environment, "LOCAL_RANK")
    if SUPERVISOR in environment:
        return Launch("r2mae", local_rank == 0, local_rank, restarted=restarted)
    if _is_step(environment):
        rank = _number(environment, "SLURM_PROCID")
        return Launch(
            "slurm",
            rank == 0,
            rank,
            _num_tasks(environment),
            _tasks_per_node(environment),
            restarted,
            any(name in environment for name in _GPU_BINDING),
        )
    ranks = ("LOCAL_RANK", "NODE_RANK", "RANK")
    is_first = all(_number(environment, name) == 0 for name in ranks)
    launcher: Literal["other", "none"] = "other"
    if "LOCAL_RANK" not in environment:
        launcher = "none"
    return Launch(launcher, is_first, local_rank, restarted=restarted)


def slurm_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """`<job id>.<restart count>` of this SLURM job, which scripts/slurm.sh looks for."""
    job = environment.get("SLURM_JOB_ID")
    return job and f"{job}.{_number(environment, 'SLURM_RESTART_COUNT')}"


def _number(environment: Mapping[str, str], name: str) -> int:
    return int(environment.get(name) or "0")


def _is_step(environment: Mapping[str, str]) -> bool:
    """Whether srun started this process as one of several tasks.

    Only srun sets a step; sbatch and salloc set the other variables too.
    """
    step = environment.get("SLURM_STEP_ID")
    if step is None or int(step) >= _FIRST_SPECIAL_STEP:
        return False
    has_terminal = any(name.startswith("SLURM_PTY_") for name in environment)
    is_shell = environment.get("SLURM_JOB_NAME") in _SHELL_JOBS
    return not has_terminal and not is_shell and _num_tasks(environment) > 1


def _num_tasks(environment: Mapping[str, str]) -> int:
    """Number of tasks of the step; SLURM_NTASKS may be that of the job."""
    of_step = _number(environment, "SLURM_STEP_NUM_TASKS")
    return of_step or _number(environment, "SLURM_NTASKS")


def _tasks_per_node(environment: Mapping[str, str]) -> int | None:
    """Number of tasks of the step on each node; None if it differs between nodes."""
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        if counts := environment.get(name):  # "4(x2),3": 4, 4 and 3 tasks
            different = set(re.sub(r"\(x\d+\)", "", counts).split(","))
            return int(different.pop()) if len(different) == 1 else None
    nodes = max(1, _number(environment, "SLURM_NNODES"))
    per_node = _number(environment, "SLURM_NTASKS_PER_NODE")
    return per_node or _num_tasks(environment) // nodes


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
    size, per_node = launch.world_size, launch.per_node
    assert size is not None
    if per_node is None or size % per_node:
        raise InputError(
            "SLURM must start the same number of tasks on each node, "
            f"got {size} tasks. Give sbatch --nodes and --ntasks-per-node."
        )
    nodes, devices = size // per_node, per_node
    if (nodes, devices) != (hardware.nodes, hardware.devices):
        remedy = f"Use --set hardware.nodes={nodes} --set hardware.devices={devices}"
        if launch.launcher == "slurm":
            tasks = f"--nodes={hardware.nodes} --ntasks-per-node={hardware.devices}"
            remedy += f", or sbatch {tasks}"
        raise InputError(
            f"hardware.nodes and hardware.devices must be the {nodes} x {devices} "
            f"processes of {launch.launcher}, "
            f"got {hardware.nodes} x {hardware.devices}. {remedy}."
        )
