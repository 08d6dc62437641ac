"""Checks of a law's fields, with errors `<field> must <rule>, got <value>. <remedy>`."""

from collections.abc import Callable
from numbers import Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether value is a real number; booleans are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check(
    name: str,
    value: Any,
    rule: str,
    holds: Callable[[float], bool],
    is_ratio: bool = True,
) -> None:
    """Raise ValueError unless value is a number for which `holds` is true.

    rule: `holds` as text. is_ratio: suggest the fraction where value looks like a
    percentage.
    """
    if is_number(value) and holds(value):
        return
    hint = ""
    # Percentages are the usual mistake.
    if is_ratio and is_number(value) and 1 < value <= 100:
        fraction = f"{value / 100:.2f}" if value == round(value) else f"{value / 100:g}"
        hint = f" Ratios are fractions; did you mean {fraction}?"
    # A recipe's 90 arrives as 90.0; show it as the user wrote it.
    shown = f"{value:.12g}" if isinstance(value, float) else value
    raise ValueError(f"{name} must {rule}, got {shown}.{hint}")


def check_bounds(low: float, high: float) -> None:
    """Raise ValueError unless 0 <= low < high <= 1."""
    check("low", low, "be in [0, 1)", lambda low: 0 <= low < 1)
    check("high", high, "be in (low, 1]", lambda high: low < high <= 1)


def check_count(name: str, value: Any, most: int = 1 << 16) -> None:
    """Raise ValueError unless value is a whole number in [1, most]."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number in [1, {most}], got {value}.")
