"""The packed computation of each architecture, by its model_type in transformers."""

from collections.abc import Callable
from typing import Any

from r2mae.models.esm_blocks import EsmRunner
from r2mae.models.text_blocks import BertRunner, ModernBertRunner

RUNNERS: dict[str, Callable[[Any], Any]] = {
    "bert": BertRunner,
    "roberta": BertRunner,
    "modernbert": ModernBertRunner,
    "esm": EsmRunner,
}
