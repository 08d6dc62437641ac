"""Locks between processes of all machines that share a folder, released when a process ends."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from r2mae.errors import InputError

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def one_at_a_time(out: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file or folder that is being written.

    wait: until another process releases it, as ranks do that need the same store.

    Raises: InputError where another process holds it and wait is False, and for a path
        without a name.
    """
    if not out.name:
        raise InputError(
            f"{out} must have a name of its own, got none. Name a file or folder in it."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    lock_file = out.with_name(f".building_{out.name}.lock")
    lock = file_lock(lock_file)
    if not acquire(lock, wait=wait):
        raise InputError(
            f"{out} must be written by one process, got a second one. Wait for the first."
        )
    try:
        yield
    finally:
        # Deleted while it is held: whoever waits for it then takes a new file.
        lock_file.unlink(missing_ok=True)
        lock.release()


def file_lock(path: Path, **options: Any) -> FileLock:
    """A lock that the system releases with the process, or none where it has no locks."""
    return FileLock(path, fallback_to_soft=False, **options)


def acquire(lock: FileLock, *, wait: bool) -> bool:
    """Acquire a lock; False where another process holds it.

    On a file system without locks it counts as acquired.
    """
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
    return True
