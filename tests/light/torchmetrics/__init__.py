"""What Lightning needs of torchmetrics to start, for processes that tests start.

torchmetrics loads transformers, torchvision and scipy.signal for metrics that r2mae does
not use: 3 of the 10 s of processor time of a short run. The tests' own process has the real
one, and so have the processes of tests/test_wheel.py and of exports without r2mae.
"""

from torch.nn import Module, ModuleDict

__version__ = "1.0.0"


class Metric(Module):
    """Of which r2mae logs none."""


class MetricCollection(ModuleDict):
    """Of which r2mae logs none."""
