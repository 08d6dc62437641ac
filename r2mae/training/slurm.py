"""Lightning's SLURM environment for every shape of job that r2mae accepts."""

import os

from pytorch_lightning.plugins.environments import SLURMEnvironment

from r2mae.schema.launch import read_launch


class SlurmStep(SLURMEnvironment):
    """The ranks that srun started, by whatever options.

    Lightning's own environment needs --ntasks-per-node, and compares it with the number
    of GPUs that this task sees. With --gpus-per-task that number is 1.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    @staticmethod
    def _validate_srun_variables() -> None:
        """Do nothing: `check_launch` has compared the recipe with the tasks."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Do nothing, for the same reason."""

    @property
    def main_address(self) -> str:
        """Address of the first node of the step, which may not be the job's first."""
        if nodes := os.environ.get("SLURM_STEP_NODELIST"):
            first = self.resolve_root_node_address(nodes)
            os.environ.setdefault("MASTER_ADDR", first)
        return str(super().main_address)

    def world_size(self) -> int:
        """Number of tasks of the step."""
        return read_launch().world_size or 1
