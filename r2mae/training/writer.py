"""Checkpoints written in the background: one copy of the state in memory, and a thread that writes it."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r2mae.errors import InputError
from r2mae.training.checkpoint import save


class CheckpointWriter:
    """Saves in a thread; training waits only for a copy into reused buffers.

    A save waits for the previous one. Buffers are reused as allocating takes longer than copying.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._failure: tuple[Path, BaseException] | None = None

    def save(
        self,
        path: Path,
        files: dict[str, dict[str, Tensor]],
        description: dict[str, Any],
        then: Callable[[], None],
    ) -> None:
        """Copy the state and write it to path in a thread, which then calls `then`.

        Raises: InputError when an earlier write failed.
        """
        self.wait()
        job = (path, self._hold(files), copy.deepcopy(description), then)
        self._thread = threading.Thread(
            target=self._write, args=job, name=f"write {path.name}"
        )
        self._thread.start()

    def check(self) -> None:
        """Raise InputError when a write failed; never waits."""
        if self._failure is not None:
            path, error = self._failure
            self._failure = None
            if not isinstance(error, OSError):
                raise error
            left = sorted(
                path.parent.glob("step_*"),
                key=lambda saved: int(saved.name.removeprefix("step_")),
            )
            rest = (
                f"{left[-1].name} is complete: the same command continues from it"
                if left
                else "Nothing was saved yet"
            )
            raise InputError(
                f"{path} must be written, got {error.strerror or error}. Make room. {rest}."
            )

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises: InputError when a write failed.
        """
        self.join()
        self.check()

    def join(self) -> None:
        """Wait until nothing is being written, failed or not."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _hold(
        self, groups: dict[str, dict[str, Tensor]]
    ) -> dict[str, dict[str, Tensor]]:
        """Copies in reused host buffers; pinned, and copied asynchronously, if the tensors are on a GPU."""
        sources = {
            f"{group}:{name}": tensor.detach()
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        for key, tensor in sources.items():
            held = self._buffers.get(key)
            if held is None or (held.shape, held.dtype) != (tensor.shape, tensor.dtype):
                self._buffers[key] = torch.empty(
                    tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda
                )
        for key, tensor in sources.items():
            self._buffers[key].copy_(tensor, non_blocking=True)
        if any(tensor.is_cuda for tensor in sources.values()):
            torch.cuda.synchronize()
        copies: dict[str, dict[str, Tensor]] = {}
        for group, named in groups.items():
            copies[group] = {name: self._buffers[f"{group}:{name}"] for name in named}
        return copies

    def _write(
        self,
        path: Path,
        files: dict[str, dict[str, Tensor]],
        description: dict[str, Any],
        then: Callable[[], None],
    ) -> None:
        try:
            save(path, files, description)
            then()
        except BaseException as error:
            self._failure = (path, error)
