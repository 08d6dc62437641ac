"""The strict base of every recipe section, and pydantic's findings said in one line."""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from r2mae.errors import InputError, did_you_mean


class Section(BaseModel):
    """A frozen recipe section: unknown keys, words for numbers, infinities are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


SectionT = TypeVar("SectionT", bound=Section)


def validate(kind: type[SectionT], document: Mapping[str, Any], where: str) -> SectionT:
    """Turn a mapping into a section.

    Raises: InputError with the first mistake as `<where>: <dotted.key> must <rule>, got <value>. <remedy>`.
    """
    try:
        # JSON mode: strict about types, yet lists may become tuples and mappings dataclasses.
        return kind.model_validate_json(json.dumps(document))
    except ValidationError as error:
        # A misspelt key shows up twice (unknown here, missing there): the unknown one explains both.
        findings = sorted(
            error.errors(), key=lambda finding: finding["type"] not in _UNKNOWN_KEY
        )
        raise InputError(f"{where}: {_sentence(findings[0], document, kind)}") from None
    except ValueError as error:
        raise InputError(f"{where}: numbers must be finite, got {error}.") from None


def exactly_one(section: Section, *names: str) -> None:
    """Raise ValueError unless exactly one of the named fields is set; for model validators."""
    given = [name for name in names if getattr(section, name) is not None]
    if len(given) != 1:
        rule = f"set exactly one of {', '.join(names)}"
        raise ValueError(f"must {rule}, got {' and '.join(given) or 'none'}.")


def _sentence(
    finding: ErrorDetails, document: Mapping[str, Any], kind: type[Section]
) -> str:
    path = _path(finding, document)
    dotted = ".".join(path)
    kind_of_error, context = finding["type"], finding.get("ctx", {})
    if kind_of_error in _UNKNOWN_KEY:
        where = ".".join(path[:-1]) or "the document"
        return f"{dotted} must be a key of {where}. {did_you_mean(path[-1], _known_keys(kind, path[:-1]))}".rstrip()
    if kind_of_error == "missing":
        return f"{dotted} must be given, got nothing."
    if kind_of_error in ("value_error", "assertion_error"):
        message = str(context.get("error", finding["msg"]))
        glue = "" if not dotted else " " if message.startswith("must ") else "."
        return f"{dotted}{glue}{message}"
    if kind_of_error == "union_tag_invalid":
        tags = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
        remedy = did_you_mean(context["tag"], tags)
        return f"{dotted} must be a mapping with one of {', '.join(tags)}, got {shown(finding['input'])}. {remedy}"
    return f"{dotted} must {_rule(kind_of_error, context, finding['msg'])}, got {shown(finding['input'])}.{_hint(finding)}"


def _path(finding: ErrorDetails, document: Mapping[str, Any]) -> list[str]:
    """The location as a user wrote it: union tags that pydantic inserts are not keys of the document."""
    path: list[str] = []
    here: Any = document
    parts = finding["loc"]
    for position, part in enumerate(parts):
        if isinstance(part, int):
            path.append(str(part))
            here = (
                here[part]
                if isinstance(here, list | tuple) and part < len(here)
                else None
            )
        elif isinstance(here, Mapping) and part in here:
            path.append(part)
            here = here[part]
        elif position == len(parts) - 1 and finding["type"] in (
            "missing",
            *_UNKNOWN_KEY,
        ):
            path.append(part)
    return path


def _known_keys(kind: type[Section], path: list[str]) -> list[str]:
    """The keys that the section at path allows, found by walking the annotations."""
    here: list[Any] = [kind]
    for part in path:
        if part.isdigit():  # an item of a list: its arms are already here
            continue
        inside = [_fields(arm).get(part) for arm in here]
        here = [
            arm
            for annotation in inside
            if annotation is not None
            for arm in _arms(annotation)
        ]
    return [name for arm in here for name in _fields(arm)]


def _fields(kind: Any) -> dict[str, Any]:
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return (
        {field.name: field.type for field in dataclasses.fields(kind)}
        if dataclasses.is_dataclass(kind)
        else {}
    )


def _arms(annotation: Any) -> list[Any]:
    """The classes that a (nested) union or Annotated annotation may hold."""
    inner = typing.get_args(annotation)
    return [arm for item in inner for arm in _arms(item)] if inner else [annotation]


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
    "string_type": "be a word",
    "tuple_type": "be a list",
    "list_type": "be a list",
    "union_tag_not_found": "be a mapping with one key",
}


def _rule(kind_of_error: str, context: Mapping[str, Any], fallback: str) -> str:
    if kind_of_error in _RULES:
        return _RULES[kind_of_error].format(**context)
    if kind_of_error in (
        "model_type",
        "model_attributes_type",
        "dataclass_type",
        "dict_type",
    ):
        return "be a section of keys"
    return fallback[:1].lower() + fallback[1:]


def _hint(finding: ErrorDetails) -> str:
    value, context = finding["input"], finding.get("ctx", {})
    if finding["type"] == "literal_error" and isinstance(value, str):
        known = [
            word.strip("' ")
            for word in context["expected"].replace(" or ", ",").split(",")
        ]
        near = did_you_mean(value, known)
        return f" {near}" if near.startswith("Did") else ""
    bound = context.get("lt", context.get("le"))
    is_percent = (
        finding["loc"][-1] != "eps"
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and bound == 1
        and 1 < value <= 100
    )
    return (
        f" Ratios are fractions; did you mean {value / 100:.2f}?" if is_percent else ""
    )


def shown(value: Any) -> str:
    """A value as one short word for a message."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
