"""The memory of this machine, compared with large arrays before they are filled."""

import os

from r2mae.data.space import size_text
from r2mae.errors import InputError
from r2mae.progress import print_above_bars

_LARGE = 1e9  # bytes; larger arrays are announced


def check_memory(what: str, num_bytes: float, remedy: str, divisor: int = 1) -> None:
    """Announce arrays of more than 1 GB on stderr.

    what: the arrays, in the plural. remedy: the end of the error message.

    Raises: InputError where they need more than this machine's memory, divided by divisor.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / divisor
    if num_bytes > memory:
        whole = "memory" if divisor == 1 else f"1/{divisor} of the memory"
        raise InputError(
            f"{what} must fit into {whole}, {size_text(memory)}, got "
            f"{size_text(num_bytes)}. {remedy}"
        )
    if num_bytes > _LARGE:
        print_above_bars(f"{what} need about {size_text(num_bytes)} of memory")
