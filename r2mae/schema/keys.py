"""Every key of a recipe, with its default and meaning, read from the sections and their docstrings."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import PlainSerializer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from r2mae.schema.section import Section

_KEYS = re.compile(r"(?:^|(?<=[.:] ))(\w+(?:, \w+)*): ", re.MULTILINE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")


class Key(NamedTuple):
    """A key as a recipe writes it, `batch.global_samples`.

    default: as YAML; "required" without one, "" for a section, whose keys follow.
    meaning: the first sentence of its docstring.
    """

    name: str
    default: str
    meaning: str


def list_keys(
    section: type[Section], prefix: str = "", defaults: Section | None = None
) -> Iterator[Key]:
    """The keys of a section and of those in it, in their order.

    prefix: of names, with a dot at its end. defaults: the section where it is left out.
    """
    meanings = _meanings(section)
    for name, field in section.model_fields.items():
        inner = _sections_in(field.annotation)
        others = {*_members(field.annotation)} - {*inner, type(None)}
        is_section = bool(inner) and not others
        meaning = _summary(inner[0]) if is_section else meanings.get(name, "")
        default = (
            getattr(defaults, name)
            if defaults is not None
            else field.get_default(call_default_factory=True)
        )
        yield Key(prefix + name, _shown_default(field, default), meaning)
        for part in inner:
            own = default if isinstance(default, part) else None
            yield from list_keys(part, f"{prefix}{name}.", own)


def _meanings(section: type[Section]) -> dict[str, str]:
    """{key: first sentence} of the docstrings of a section and those that it extends."""
    sentences: dict[str, str] = {}
    keys = set(section.model_fields)
    for base in section.__mro__:
        if base is Section or not issubclass(base, Section):
            continue
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        for names, meaning in _described(text, keys):
            for name in names:
                sentences.setdefault(name, _first_sentence(meaning))
    return sentences


def _described(text: str, keys: set[str]) -> Iterator[tuple[list[str], str]]:
    """(keys, what a docstring says of them), for each `key: ...` or `key, key: ...` in it."""
    heads = [
        match for match in _KEYS.finditer(text) if keys >= set(match[1].split(", "))
    ]
    ends = [*(match.start() for match in heads[1:]), len(text)]
    for match, end in zip(heads, ends, strict=False):  # without heads one end
        yield match[1].split(", "), text[match.end() : end]


def _first_sentence(text: str) -> str:
    plain = " ".join(text.split())
    end = _SENTENCE_END.search(plain)
    return plain[: end.start()] if end else plain


def _summary(section: type[Section]) -> str:
    """The first sentence on a section, without the key that it begins with."""
    text = inspect.cleandoc(section.__doc__ or "").partition("\n\n")[0]
    return _first_sentence(re.sub(r"^`[\w.]+`: ", "", text))


def _sections_in(annotation: Any) -> list[type[Section]]:
    """Sections that may be the value of a key; the private ones of laws are left out."""
    return [
        member
        for member in _members(annotation)
        if issubclass(member, Section) and not member.__name__.startswith("_")
    ]


def _members(annotation: Any) -> list[type]:
    """The classes in a union or another generic annotation."""
    if inner := get_args(annotation):
        return [member for item in inner for member in _members(item)]
    return [annotation] if isinstance(annotation, type) else []


def _shown_default(field: FieldInfo, value: Any) -> str:
    """A default as YAML writes it in one line."""
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Section):
        return ""
    for entry in field.metadata:
        is_plain = isinstance(value, str | None)
        if isinstance(entry, PlainSerializer) and not is_plain:
            value = entry.func(value)  # type: ignore[call-arg]
    plain = to_jsonable_python(value, fallback=str)
    text = json.dumps(plain, ensure_ascii=False)
    return text.strip('"') if isinstance(plain, str) and plain else text
