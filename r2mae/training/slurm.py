"""Ranks that srun starts, for Lightning."""

import os

from pytorch_lightning.plugins.environments import SLURMEnvironment

from r2mae.schema.launch import read_launch


class SlurmStep(SLURMEnvironment):
    """The tasks of an srun, whatever options asked for them.

    Lightning's own accepts --ntasks-per-node alone, and compares it with the number of
    GPUs that this task sees; with --gpus-per-task that is 1.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    @staticmethod
    def _validate_srun_variables() -> None:
        """Nothing: `check_launch` has compared the recipe with the tasks."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Nothing, likewise."""

    @property
    def main_address(self) -> str:
        """The first node of the step, which may have fewer nodes than the job."""
        if nodes := os.environ.get("SLURM_STEP_NODELIST"):
            first = self.resolve_root_node_address(nodes)
            os.environ.setdefault("MASTER_ADDR", first)
        return str(super().main_address)

    def world_size(self) -> int:
        """Tasks of the step."""
        return read_launch().world_size or 1
