"""How a DataLoader's worker processes take signals, and end."""

import os
import signal
import sys
import threading
from types import TracebackType


def set_up_worker(worker: int) -> None:  # noqa: ARG001
    """Let a worker leave signals to the process that reads from it, and end with it silently.

    SLURM and Ctrl-C may send a signal to every process of a job. A worker that died of
    it would make the training process fail before it can save.

    When the training process dies, multiprocessing reports a lost connection through
    sys.excepthook. That traceback is left out: the supervisor reports the death.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        _end_by_parent_alone()
    report = sys.excepthook

    def ignore_lost_parent(
        kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            report(kind, error, where)

    sys.excepthook = ignore_lost_parent


def _end_by_parent_alone() -> None:
    """Obey SIGTERM from the training process, which ends its workers by it; no other."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        sender = -1
        while sender != os.getppid():
            sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
