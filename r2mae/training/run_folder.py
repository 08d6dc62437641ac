"""The run folder: recipe, status, metrics and checkpoints, and whether a recipe may continue it.

recipe.yaml  run.json  metrics.csv  stderr.log  checkpoints/{step_<n>/, last, best}
pictures/{step_<n>.png, held_out.json}
trace.jsonl  profile.txt  nonfinite.jsonl  nccl_rank_<n>  wandb/  tensorboard/
"""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from r2mae.data.atomic import write_atomic
from r2mae.data.lock import acquire, file_lock
from r2mae.errors import InputError
from r2mae.schema.document import load_document, write_document
from r2mae.schema.section import shown

_LOCK = ".lock"
_STATUS = threading.Lock()  # of run.json
# Keys that may differ when a run is continued: they do not change the result.
_FREE_KEYS = (
    "hardware",
    "log",
    "batch.per_device_samples",
    "data.on_bad_sample",
    "training",
)


class RunFolder:
    """Paths and small files of one run. Only rank 0 writes."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self.metrics = self.path / "metrics.csv"
        self.stderr = self.path / "stderr.log"
        self.nonfinite = self.path / "nonfinite.jsonl"
        self.trace = self.path / "trace.jsonl"
        self.recipe = self.path / "recipe.yaml"
        self._lock: FileLock | None = None  # released with the last reference to it

    @property
    def name(self) -> str:
        """What loggers call the run: its path below runs/, with dashes."""
        first, *rest = self.path.parts
        return "-".join(rest) if first == "runs" and rest else self.path.name

    @property
    def exists(self) -> bool:
        """True when a run was started here."""
        return self.recipe.is_file()

    def check(
        self,
        document: dict[str, Any],
        source: str,
        complete: Callable[[dict[str, Any]], dict[str, Any]] = lambda recipe: recipe,
    ) -> None:
        """Raise InputError unless a run of this recipe may start or continue here; writes nothing.

        complete: fills a stored recipe with the defaults of keys that it does not have yet.
        The message names the first key that differs.
        """
        if self.exists:
            self._check_same(complete(load_document(self.recipe)), document, source)
        elif self.path.exists() and _holds_files(self.path):
            raise InputError(
                f"{self.path} must be a run folder or absent, got other files. Choose another --name."
            )

    @contextlib.contextmanager
    def reserve(self) -> Iterator[None]:
        """Make the folder and lock it; an error in the block removes what was made.

        Raises: InputError when another process trains here.
        """
        paths = (self.path, *self.path.parents)
        made = [path for path in paths if not path.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock()
        try:
            yield
        except BaseException:
            self._lock = None
            if made and not _holds_files(self.path):
                (self.path / _LOCK).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another run began beside it
                    for path in made:
                        path.rmdir()
            raise

    def start(self, document: dict[str, Any]) -> None:
        """Make the folder, lock it, write the resolved recipe, and delete leftovers of an interrupted save.

        Raises: InputError when another process trains here.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.lock()
        for leftover in self.checkpoints.glob(".*_step_*"):
            shutil.rmtree(leftover)
        write_atomic(self.recipe, write_document(document))

    def _check_same(
        self, stored: dict[str, Any], document: dict[str, Any], source: str
    ) -> None:
        earlier, current = flatten(stored), flatten(document)
        for key in sorted(earlier.keys() | current.keys()):
            free = any(key == name or key.startswith(f"{name}.") for name in _FREE_KEYS)
            if not free and earlier.get(key) != current.get(key):
                was = shown(earlier.get(key, _entry(stored, key)))
                now = shown(current.get(key, _entry(document, key)))
                remedy = "Choose another --name, or --fresh to start over beside it."
                if key.startswith("mask."):
                    remedy += f" To start from its weights: another --name and --set model.init_from={self.path}."
                raise InputError(
                    f"{source}: {key} must be {was} to continue {self.path}, got {now}. {remedy}"
                )

    def lock(self) -> None:
        """Lock the folder for this process until it ends.

        Raises: InputError when another one trains here.
        """
        lock_file = self.path.resolve() / _LOCK
        # A singleton of all threads: the same process may lock a folder again.
        lock = file_lock(lock_file, is_singleton=True, thread_local=False)
        if not acquire(lock, wait=False):
            raise InputError(
                f"{self.path} must be trained by one command at a time, got a second one. "
                "Wait for it, or choose another --name."
            )
        self._lock = lock

    def set_aside(self) -> None:
        """Rename an existing run, or a table of runs, to <name>.<n>, so that a fresh one can start.

        Raises: InputError when another process trains there.
        """
        for lock in self.path.rglob(_LOCK):
            RunFolder(lock.parent).lock()
        if self.path.exists():
            number = 1
            while (
                beside := self.path.with_name(f"{self.path.name}.{number}")
            ).exists():
                number += 1
            self.path.rename(beside)
        self._lock = None  # it locks the renamed folder

    def pointer(self, name: str) -> Path | None:
        """The checkpoint that `last` or `best` points to, or None when there is none.

        Where it was deleted by hand, `last` is the newest one left, and there is no `best`.
        """
        file = self.checkpoints / name
        if not file.is_file():
            return None
        target = self.checkpoints / file.read_text(errors="replace").strip()
        if target.is_dir():
            return target
        if name == "best":
            return None
        left = self.saved()
        return left[-1] if left else target

    def point(self, name: str, checkpoint: Path) -> None:
        """Let `last` or `best` point to a checkpoint."""
        write_atomic(self.checkpoints / name, f"{checkpoint.name}\n")

    def saved(self) -> list[Path]:
        """All checkpoints, oldest first."""
        return sorted(self.checkpoints.glob("step_*"), key=saved_step)

    def read_status(self) -> dict[str, Any]:
        """run.json as a mapping; empty when there is none."""
        file = self.path / "run.json"
        try:
            return dict(json.loads(file.read_text())) if file.is_file() else {}
        except (ValueError, TypeError):
            raise InputError(
                f"{file} must be JSON, got something else. Delete it."
            ) from None

    def write_status(self, **entries: Any) -> None:
        """Merge entries into run.json; the thread that writes checkpoints does this too."""
        with _STATUS:
            status = (
                self.read_status()
                | entries
                | {"updated": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
            )
            write_atomic(
                self.path / "run.json",
                json.dumps(status, indent=1, ensure_ascii=False) + "\n",
            )


def _holds_files(folder: Path) -> bool:
    """Whether a folder holds more than the lock of a run that has not started yet."""
    return any(entry.name != _LOCK for entry in folder.iterdir())


def saved_step(path: Path) -> int:
    """The step of a checkpoint folder, by its name."""
    return int(path.name.removeprefix("step_"))


def existing_run(path: str) -> RunFolder:
    """A run folder, with or without a checkpoint.

    Raises: InputError when path is not a run folder.
    """
    folder = RunFolder(path)
    if not folder.exists and (
        single := sorted(folder.path.glob("labels_*/seed_*/recipe.yaml"))
    ):
        remedy = f"Name one, such as {single[0].parent}."
        raise InputError(
            f"{path} must be a run folder, got a table of {len(single)} fine-tuning runs. {remedy}"
        )
    if not folder.exists:
        raise InputError(
            f"{path} must be a run folder with recipe.yaml, got none. Runs are in runs/ by default."
        )
    return folder


def open_run(path: str) -> RunFolder:
    """An existing run folder.

    Raises: InputError when path is not a run folder, or has no checkpoint.
    """
    folder = existing_run(path)
    if folder.pointer("last") is None:
        raise InputError(
            f"{path} must hold a checkpoint, got none. Train it first: r2mae pretrain."
        )
    return folder


def is_here(init_from: str | None) -> bool:
    """True for weights on this machine's disk; False for hub ids and runs without a checkpoint."""
    if init_from is None:
        return False
    path = Path(init_from)
    return path.exists() and (
        not (path / "recipe.yaml").exists() or (path / "checkpoints" / "last").exists()
    )


def flatten(document: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as {dotted.key: value}."""
    if not isinstance(document, dict):
        return {prefix: document}
    inner = (
        flatten(value, f"{prefix}.{key}" if prefix else key)
        for key, value in document.items()
    )
    return {key: value for part in inner for key, value in part.items()}


def _entry(document: dict[str, Any], key: str) -> Any:
    """What a dotted key leads to, also a section; None where it is absent."""
    entry: Any = document
    for part in key.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry
