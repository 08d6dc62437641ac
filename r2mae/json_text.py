"""JSON of results, whose numbers may not be finite."""

import json
import math
from dataclasses import asdict, is_dataclass
from typing import Any


def json_text(document: Any, indent: int | None = None) -> str:
    """A document as JSON: dataclasses are mappings, and numbers that are not finite null."""
    return json.dumps(_plain(document), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    is_number = not isinstance(value, float) or math.isfinite(value)
    return value if is_number else None
