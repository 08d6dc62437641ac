"""Who hears how far a long reading is that nobody asked for by name: a recipe's files that become a store."""

from collections.abc import Callable
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]  # what, done, in all


def silent(what: str, done: int, total: int) -> None:
    """Nobody hears."""


listener: ContextVar[Progress] = ContextVar("listener", default=silent)
