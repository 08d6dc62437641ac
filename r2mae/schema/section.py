"""The base class of recipe sections, and validation errors in one line."""

import dataclasses
import json
import math
import os
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from r2mae.errors import InputError, did_you_mean


class Section(BaseModel):
    """A frozen section of a recipe or card.

    Unknown keys, text in place of numbers, and infinities are errors.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


SectionT = TypeVar("SectionT", bound=Section)


def validate(
    section: type[SectionT], document: Mapping[str, Any], where: str
) -> SectionT:
    """Validate a mapping as a section.

    where: the file, for messages.

    Raises: InputError with the first error as
        `<where>: <dotted.key> must <rule>, got <value>. <remedy>`.
    """
    try:
        # JSON mode is strict about types, yet lists may become tuples and mappings
        # dataclasses.
        return section.model_validate_json(json.dumps(document, default=_plain))
    except ValidationError as error:
        message = _error_message(_telling(error.errors(), document), document, section)
        raise InputError(f"{where}: {message}") from None
    except ValueError as error:
        raise InputError(f"{where}: numbers must be finite, got {error}.") from None
    except TypeError as error:  # of a mapping from Python
        raise InputError(f"{where}: a value must be plain data, got {error}.") from None


def _plain(value: Any) -> Any:
    """Paths and numpy scalars of a mapping from Python as JSON has them."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(type(value).__name__)


def exactly_one(section: Section, *names: str) -> None:
    """Raise ValueError unless exactly one of the named fields is set.

    For model validators.
    """
    present = [name for name in names if getattr(section, name) is not None]
    if len(present) != 1:
        rule = f"set exactly one of {', '.join(names)}"
        got = " and ".join(present) or "none"
        raise ValueError(f"must {rule}, got {got}.")


def _telling(details: list[ErrorDetails], document: Mapping[str, Any]) -> ErrorDetails:
    """The error to show.

    A misspelt key gives two errors, an unknown and a missing key; the unknown one explains
    both. A value of several types gives one for each type; the item inside it is shown.
    """
    unknown = [detail for detail in details if detail["type"] in _UNKNOWN_KEY]
    first = (unknown or details)[0]
    path = _path(first, document)
    paths = [_path(detail, document) for detail in details]
    inside = [here if here[: len(path)] == path else [] for here in paths]
    deepest = max(range(len(details)), key=lambda place: len(inside[place]))
    return first if len(inside[deepest]) == len(path) else details[deepest]


def _error_message(
    details: ErrorDetails, document: Mapping[str, Any], section: type[Section]
) -> str:
    """An error of pydantic as `<dotted.key> must <rule>, got <value>. <remedy>`."""
    path = _path(details, document)
    dotted = ".".join(path)
    error_type = details["type"]
    context = details.get("ctx", {})
    if error_type in _UNKNOWN_KEY:
        parent = ".".join(path[:-1]) or "the document"
        keys = _allowed_keys(section, path[:-1])
        remedy = did_you_mean(path[-1], keys)
        return f"{dotted} must be a key of {parent}. {remedy}".rstrip()
    if error_type == "missing":
        return f"{dotted} must be given, got nothing."
    if error_type in ("value_error", "assertion_error"):
        # A validator of a section names the key itself, or starts with "must".
        message = str(context.get("error", details["msg"]))
        if not dotted:
            return message
        separator = " " if message.startswith("must ") else "."
        return f"{dotted}{separator}{message}"
    value = shown(details["input"])
    if error_type == "union_tag_invalid":
        listed = context["expected_tags"].split(",")
        tags = [tag.strip("' ") for tag in listed]
        rule = f"be a mapping with one of {', '.join(tags)}"
        remedy = did_you_mean(context["tag"], tags)
        return f"{dotted} must {rule}, got {value}. {remedy}"
    rule = _rule(error_type, context, details["msg"])
    remedy = _remedy(details)
    return f"{dotted} must {rule}, got {value}.{remedy}"


def _path(details: ErrorDetails, document: Mapping[str, Any]) -> list[str]:
    """The keys that lead to an error, as the user wrote them.

    pydantic inserts tags of unions, which are not keys of the document.
    """
    # A part that is not in the document is a tag, unless it is the key that is missing.
    path: list[str] = []
    here: Any = document
    parts = details["loc"]
    concerns_key = details["type"] in ("missing", *_UNKNOWN_KEY)
    for position, part in enumerate(parts):
        if isinstance(part, int):
            path.append(str(part))
            is_item = isinstance(here, list | tuple) and part < len(here)
            here = here[part] if is_item else None
        elif isinstance(here, Mapping) and part in here:
            path.append(part)
            here = here[part]
        elif position == len(parts) - 1 and concerns_key:
            path.append(part)
    return path


def _allowed_keys(section: type[Section], path: list[str]) -> list[str]:
    """The keys of the section at path, read from the type annotations."""
    types: list[Any] = [section]
    for part in path:
        if part.isdigit():  # an item of a list, whose types are already unpacked
            continue
        annotations = [_fields(item).get(part) for item in types]
        types = []
        for annotation in annotations:
            if annotation is not None:
                types += _member_types(annotation)
    return [name for item in types for name in _fields(item)]


def _fields(item: Any) -> dict[str, Any]:
    """Field -> annotation of a section or dataclass; empty for other types."""
    if hasattr(item, "model_fields"):
        fields = item.model_fields
        return {name: field.annotation for name, field in fields.items()}
    if dataclasses.is_dataclass(item):
        return {field.name: field.type for field in dataclasses.fields(item)}
    return {}


def _member_types(annotation: Any) -> list[Any]:
    """The classes in a (nested) union, generic or Annotated annotation."""
    inner = typing.get_args(annotation)
    if not inner:
        return [annotation]
    return [member for item in inner for member in _member_types(item)]


# The error types of pydantic, and the rules that they stand for.
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_RULES = {
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be at most {le}",
    "literal_error": "be {expected}",
    "too_short": "hold at least {min_length} items",
    "too_long": "hold at most {max_length} items",
    "int_type": "be a whole number",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "finite_number": "be finite",
    "bool_type": "be true or false",
    "string_type": "be text",
    "tuple_type": "be a list",
    "list_type": "be a list",
    "union_tag_not_found": "be a mapping with one key",
}
_NOT_A_SECTION = (
    "model_type",
    "model_attributes_type",
    "dataclass_type",
    "dict_type",
)


def _rule(error_type: str, context: Mapping[str, Any], fallback: str) -> str:
    """The rule that a value breaks, to follow "must"."""
    if error_type in _RULES:
        return _RULES[error_type].format(**context)
    if error_type in _NOT_A_SECTION:
        return "be a section of keys"
    return fallback[:1].lower() + fallback[1:]


def _remedy(details: ErrorDetails) -> str:
    """A similar choice, or the fraction where a percentage was written; else empty."""
    value = details["input"]
    context = details.get("ctx", {})
    if details["type"] == "literal_error" and isinstance(value, str):
        listed = context["expected"].replace(" or ", ",").split(",")
        choices = [choice.strip("' ") for choice in listed]
        similar = did_you_mean(value, choices)
        # The rule of a literal lists all choices already.
        return f" {similar}" if similar.startswith("Did") else ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    # A field below 1 is a ratio, apart from the optimizer's eps.
    limit = context.get("lt", context.get("le"))
    is_ratio = limit == 1 and details["loc"][-1] != "eps"
    if is_ratio and 1 < value <= 100:
        return f" Ratios are fractions; did you mean {value / 100:.2f}?"
    return ""


def shown(value: Any) -> str:
    """A value as JSON for a message, shortened to 60 characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
