"""`--workers` and `--precision`: how a command reads samples and computes features."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from r2mae.loaded_run import LoadedRun


@contextmanager
def chosen_inference(loaded: LoadedRun, arguments: Namespace) -> Iterator[None]:
    """`inference` with the run's `hardware`, which the options override."""
    from r2mae.evaluation.inference import inference
    from r2mae.recipe.device import emulates_bf16

    precision, on_cpu = arguments.precision, loaded.device.type == "cpu"
    if precision == "bf16-mixed" and on_cpu and emulates_bf16():
        text = "bf16-mixed is emulated on this CPU: --precision 32-true is faster"
        print(f"{loaded.folder.path}: {text}", file=sys.stderr)
    with inference(loaded.recipe.hardware, arguments.workers, precision):
        yield
