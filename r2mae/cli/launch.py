"""Several devices on one machine: a supervisor, which starts one process for each.

It imports no torch and takes part in no collective, so no frozen or dead rank can stop
it. After a rank has died, the others have a few seconds to end, and are killed then. A
frozen rank makes the others fail after hardware.timeout_seconds; then it is killed too.
If the supervisor itself is killed, the kernel kills the ranks.
"""

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.schema.launch import (
    FAILURE_FILE,
    SUPERVISOR,
    check_launch,
    failure_report,
    read_launch,
)

_TASKS = {"pretrain": "pretrain", "demo": "pretrain", "finetune": "finetune"}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_GRACE_SECONDS = 6.0  # for the other ranks to write their tracebacks
# NCCL's watchdogs end waiting ranks one after the other, and write what they know first.
_ABORT_GRACE_SECONDS = 30.0
_POLL_SECONDS = 0.05
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def launch(arguments: argparse.Namespace, argv: list[str]) -> int | None:
    """Start and watch the ranks of a recipe on several devices; returns the exit code, or None if this process trains.

    Raises: InputError for a bad recipe, or one that does not match its launcher.
    """
    if arguments.subcommand not in _TASKS:
        return None
    from r2mae.recipe.load import load_recipe

    here = read_launch()
    task = _TASKS[arguments.subcommand]
    recipes = getattr(arguments, "recipes", None) or [arguments.recipe]
    for name in recipes:
        hardware = load_recipe(name, arguments.set, task=task).hardware
        check_launch(hardware, here)
        if len(recipes) > 1:
            _check_alone(name, hardware.devices, here.launcher)
    recipe = recipes[0]
    if here.launcher != "none" or hardware.devices == 1:
        return None
    if hardware.accelerator == "gpu":  # takes 2 s; one error instead of one per rank
        from r2mae.recipe.device import choose_accelerator

        choose_accelerator(load_recipe(recipe, arguments.set))
    folder = Path("runs") / (arguments.name or Path(recipe).stem)
    return Supervisor(folder, hardware.devices, hardware.timeout_seconds).run(argv)


def _check_alone(recipe: str, devices: int, launcher: str) -> None:
    """Raise InputError for one of several recipes that would train on several devices."""
    if launcher != "none" or devices > 1:
        raise InputError(
            f"{recipe}: hardware.devices must be 1 where several recipes are named, "
            f"got {devices} (launcher: {launcher}). Run the recipes one by one."
        )


def end_with_parent() -> None:
    """Let the kernel kill this rank when its supervisor or torchrun dies."""
    launcher = read_launch().launcher
    if launcher in ("r2mae", "torchrun") and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if launcher == "r2mae" and os.getppid() != int(os.environ[SUPERVISOR]):
            os._exit(1)  # the supervisor died before prctl


class Supervisor:
    """The ranks of one job, from start to end."""

    def __init__(self, folder: Path, devices: int, timeout_seconds: int) -> None:
        self.folder = folder
        self.devices = devices
        self.timeout_seconds = timeout_seconds
        self.ranks: list[subprocess.Popen[bytes]] = []
        self.endings: dict[int, int] = {}  # rank -> exit code, in the order of ending
        self.killed: list[int] = []  # by us
        self.silent: list[int] = []  # those of the killed that had reported no failure
        self.received: list[int] = []

    def run(self, argv: list[str]) -> int:
        """Run all ranks to their end; returns the exit code of the job."""
        before = {
            number: signal.signal(number, lambda got, _: self.received.append(got))
            for number in _SIGNALS
        }
        with tempfile.TemporaryDirectory(prefix="r2mae-") as scratch:
            failure = Path(scratch) / "failure.json"
            try:
                self._start(argv, failure)
                self._watch(failure)
            finally:
                for process in self.ranks:
                    process.kill()  # no effect on one that has ended
                    process.wait()
                for number, handler in before.items():
                    signal.signal(number, handler)
            reported = failure.is_file()
            return self._sum_up(json.loads(failure.read_text()) if reported else {})

    def _start(self, argv: list[str], failure: Path) -> None:
        # Start ranks as this process was started: with -m, r2mae may be imported from the working folder.
        spec = sys.modules["__main__"].__spec__
        as_module = spec is not None and not sys.flags.safe_path
        safe_path = [] if as_module else ["-P"]
        command = [sys.executable, *safe_path, "-m", "r2mae", *argv]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            SUPERVISOR: str(os.getpid()),
            FAILURE_FILE: str(failure),
        }
        for rank in range(self.devices):
            own = {
                "LOCAL_RANK": str(rank),
                "NODE_RANK": "0",
                "WORLD_SIZE": str(self.devices),
            }
            # A group of its own: Ctrl-C reaches ranks through the supervisor alone, once.
            env = os.environ | shared | own
            process = subprocess.Popen(command, env=env, process_group=0)
            self.ranks.append(process)

    def _watch(self, failure: Path) -> None:
        deadline = float("inf")
        num_forwarded = 0
        while len(self.endings) < self.devices:
            for number in self.received[num_forwarded:]:
                num_forwarded += 1
                for process in self.ranks:
                    process.send_signal(number)
            for rank, process in enumerate(self.ranks):
                if rank not in self.endings and (code := process.poll()) is not None:
                    self.endings[rank] = code
            now = time.monotonic()
            codes = self.endings.values()
            orderly = all(code == 0 or code > 128 for code in codes)
            if failure.is_file() or not orderly:
                deadline = min(deadline, now + self._grace_seconds())
            elif any(codes):  # the others may still be writing the checkpoint
                deadline = min(deadline, now + self.timeout_seconds)
            if now > deadline and not self.killed:
                self.killed = [
                    rank for rank in range(self.devices) if rank not in self.endings
                ]
                for rank in self.killed:
                    process = self.ranks[rank]
                    if not failure_report(failure, process.pid).is_file():
                        self.silent.append(rank)
                    process.kill()
            time.sleep(_POLL_SECONDS)

    def _grace_seconds(self) -> float:
        codes = [code for code in self.endings.values() if code]
        only_aborted = codes and all(code == -signal.SIGABRT for code in codes)
        return _ABORT_GRACE_SECONDS if only_aborted else _GRACE_SECONDS

    def _sum_up(self, failure: dict[str, Any]) -> int:
        """The exit code of the job; reports what no rank could report."""
        codes = self.endings.items()
        endings = {
            rank: code for rank, code in codes if rank not in self.killed and code
        }
        if not endings and not self.killed:
            return 0
        number = None if failure else self._common_signal(endings)
        if number is not None:
            if all(code < 0 for code in endings.values()):
                self._report(f"r2mae: stopped by signal {number} before training began")
            return 128 + number
        line = self._describe_lost_rank(endings, failure)
        if line is not None:
            log = failure.get("log") or str(self.folder / "stderr.log")
            where = f"the same command continues (tracebacks of the others in {log})"
            self._report(f"r2mae: {line}; {where}", log)
            return 1
        fault = f"r2mae: fault in r2mae: ranks ended with {endings}"
        self._report(failure.get("line", fault))
        return int(failure.get("code", 1))

    def _common_signal(self, endings: dict[int, int]) -> int | None:
        """The signal that ended all ranks: forwarded by us, or the one of their exit codes."""
        signals = {code - 128 if code > 128 else -code for code in endings.values()}
        by_exit_codes = all(code > 128 for code in endings.values())
        if len(signals) != 1 or not (signals <= set(self.received) or by_exit_codes):
            return None
        return signals.pop()

    def _describe_lost_rank(
        self, endings: dict[int, int], failure: dict[str, Any]
    ) -> str | None:
        """Which rank was killed or froze; None where a rank itself said what happened.

        NCCL ends ranks that wait in vain by SIGABRT: those are not to blame where
        another rank was killed or did not end by itself. Nor is a rank to blame that
        had reported its failure and was killed because it was slow to end.
        """
        if failure.get("own"):
            return None
        dead = [(rank, -code) for rank, code in endings.items() if code < 0]
        causes = [item for item in dead if item[1] != signal.SIGABRT]
        if not causes and self.silent and (dead or failure.get("waited")):
            ranks = ", ".join(map(str, self.silent))
            limit = f"hardware.timeout_seconds: {self.timeout_seconds}"
            return f"rank {ranks} did not answer within {limit}, and was killed"
        for rank, number in causes or dead:
            return f"rank {rank} was killed by signal {number}"
        return None

    def _report(self, line: str, log: str | None = None) -> None:
        print(line, file=sys.stderr, flush=True)
        if log and Path(log).parent.is_dir():
            with Path(log).open("a") as file:
                file.write(line + "\n")
            from r2mae.training.run_folder import RunFolder

            folder = RunFolder(Path(log).parent)
            status = folder.read_status().get("status")
            if status == "running":  # rank 0 could not write it
                folder.write_status(status="failed")
