"""Lightning's CheckpointIO for our checkpoint folders."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from r2mae.training.checkpoint import (
    EMA,
    MODEL,
    OPTIMIZER,
    load_tensors,
    read_manifest,
    remove,
    save,
)


class FolderCheckpointIO(CheckpointIO):
    """Lightning's checkpoint dictionary to a folder and back; loops, callbacks and schedulers hold no state."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the folder at path; an interrupted write leaves nothing under that name."""
        save(
            Path(path),
            checkpoint_files(checkpoint, checkpoint["state_dict"]),
            checkpoint["description"],
        )

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """The dictionary that Lightning restores from.

        Raises: InputError naming a damaged or missing file.
        """
        manifest = read_manifest(Path(path))
        average = None
        if EMA in manifest["sha256"]:
            average = load_tensors(Path(path), EMA, manifest)
        return {
            "state_dict": load_tensors(Path(path), MODEL, manifest),
            "optimizer_tensors": load_tensors(Path(path), OPTIMIZER, manifest),
            "moving_average": average,
            "description": manifest,
            "optimizer_states": [],  # the module restores these by name
            "lr_schedulers": [],
            "epoch": 0,
            "global_step": manifest["step"],
            "pytorch-lightning_version": manifest["versions"]["pytorch-lightning"],
        }

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the folder at path."""
        remove(Path(path))


def checkpoint_files(
    state: dict[str, Any], weights: dict[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """What `save` writes of the state that `Engine.on_save_checkpoint` adds to."""
    files = {MODEL: weights, OPTIMIZER: state["optimizer_tensors"]}
    if "moving_average" in state:
        files[EMA] = state["moving_average"]
    return files
