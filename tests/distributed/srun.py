#!/usr/bin/env python3
"""A stand-in for `srun [options] COMMAND`, with its rules for ending a step.

With --kill-on-bad-exit=1 the first task that ends with another code than 0 ends the
step: all tasks get SIGCONT and SIGTERM, and SIGKILL after KillWait. The exit code is the
highest of the tasks', where a task ended by signal n counts as 128 + n and goes before
any exit code. USR1 and TERM to this process go to all tasks and their children.

Source: man srun (--kill-on-bad-exit, exit codes), man slurm.conf (KillWait).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Step:
    """The tasks of one srun; process groups of their own."""

    def __init__(self, options, command):
        self.kills = "--kill-on-bad-exit=1" in options
        self.kill_wait = float(os.environ.get("KILL_WAIT", "30"))
        # Without a number of tasks, srun starts one on each node.
        num_nodes = os.environ.get("SLURM_NNODES", "1")
        num_tasks = int(os.environ.get("SLURM_NTASKS", num_nodes))
        shared = {
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NUM_TASKS": str(num_tasks),
            "SLURM_NODEID": "0",
            "SLURM_NODELIST": "127.0.0.1",
            "SLURM_JOB_NAME": "r2mae",
        }
        self.tasks = []
        for rank in range(num_tasks):
            own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
            self.tasks.append(
                subprocess.Popen(
                    command, env=os.environ | shared | own, start_new_session=True
                )
            )

    def send(self, number):
        for task in self.tasks:
            if task.poll() is None:
                os.killpg(task.pid, number)

    def wait(self):
        """The step's exit code."""
        deadline = float("inf")
        while any(task.poll() is None for task in self.tasks):
            if self.kills and deadline == float("inf") and any(self.codes()):
                self.send(signal.SIGCONT)
                self.send(signal.SIGTERM)
                deadline = time.monotonic() + self.kill_wait
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
            time.sleep(0.02)
        signals = [128 - code for code in self.codes() if code < 0]
        return max(signals or self.codes())

    def codes(self):
        return [task.returncode for task in self.tasks if task.returncode is not None]


def main():
    options = []
    words = sys.argv[1:]
    while words and words[0].startswith("-"):
        options.append(words.pop(0))
    Path("srun_options").write_text(" ".join(options))
    step = Step(options, words)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda got, _: step.send(got))
    Path("tasks").write_text(" ".join(str(task.pid) for task in step.tasks))
    Path("srun.pid").write_text(str(os.getpid()))
    return step.wait()


if __name__ == "__main__":
    sys.exit(main())
