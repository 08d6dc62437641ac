"""NCCL's flight recorder: the last collectives of each rank, written when a job dies."""

import os
from pathlib import Path

_ENTRIES = 2000  # collectives that each rank remembers


def dump_collectives(folder: Path) -> None:
    """Let ranks that time out or fail in a collective write it to a run folder.

    To be called before the process group exists. Each writes nccl_rank_<n>, which
    `torchfrtrace --prefix nccl_rank_ FOLDER` reads. Variables that are set already stay.

    Source: FlightRecorder and ProcessGroupNCCL of torch, which read these variables.
    """
    settings = {
        "TORCH_FR_BUFFER_SIZE": str(_ENTRIES),
        "TORCH_FR_DUMP_ON_TIMEOUT": "1",
        "TORCH_FR_DUMP_TEMP_FILE": str(folder.resolve() / "nccl_rank_"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
