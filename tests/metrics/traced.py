"""The memory that a call takes."""

import tracemalloc
from collections.abc import Callable
from typing import Any


def traced(call: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """(result, bytes of the largest allocation during a call beyond that before it)."""
    tracemalloc.start()
    try:
        result = call(*arguments)
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
