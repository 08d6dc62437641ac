"""Strict YAML: one plain mapping per file, and errors of one line with a line number.

Scalars follow YAML 1.2, so that `no` is text and `1e-4` a number.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from r2mae.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20  # of nesting
_MAX_DIGITS = 40


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:
    """An error at the start of an event or node of YAML."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


class _StrictLoader(yaml.SafeLoader):
    """Loader of YAML 1.2 scalars without aliases, tags, duplicate keys or deep nesting."""

    # Starts without the resolvers of YAML 1.1; those of 1.2 are added below.
    yaml_implicit_resolvers = {}  # type: ignore[var-annotated]  # noqa: RUF012 - PyYAML's API
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _error("anchors and aliases must not be used", event)
        if getattr(event, "tag", None):
            raise _error(f"tag {event.tag} must not be used", event)
        text = getattr(event, "value", None) or ""
        # Escapes may write lone surrogates, which cannot be encoded as UTF-8.
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _error("text must be Unicode", event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _error(f"nesting must not exceed {MAX_DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error("a key must be text", key_node)
            key = key_node.value
            if key in mapping:
                raise _error(f"key {key!r} must appear once, got it twice", key_node)
            mapping[key] = self.construct_object(value_node, deep=deep)  # type: ignore[no-untyped-call]
        return mapping


class _PlainDumper(yaml.SafeDumper):
    """Dumper without aliases.

    It quotes text that YAML 1.1 or the strict loader would read as another type.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


# The scalars of YAML 1.2's core schema: tag, pattern, possible first characters.
for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    for _class in (_StrictLoader, _PlainDumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
        )
for _tag, _construct in (
    ("int", lambda loader, node: _number(int, loader.construct_scalar(node), node)),
    ("float", lambda loader, node: _number(float, loader.construct_scalar(node), node)),
    ("map", lambda loader, node: loader.construct_mapping(node, deep=True)),
):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct)


def _number(
    number_type: type[int] | type[float], text: str, node: yaml.Node
) -> int | float:
    # Python converts long decimal numbers in quadratic time.
    if len(text) > _MAX_DIGITS:
        raise _error(
            f"a number must have at most {_MAX_DIGITS} characters, got {len(text)}",
            node,
        )
    return number_type(text)


def _parse(text: str, where: str) -> Any:
    """The YAML in text; where: its file or option, for messages."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            f"{where}{line}: YAML must be well-formed: "
            f"{error.problem or error.context}."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: YAML must be well-formed: {str(error).splitlines()[0]}."
        ) from None


def load_document(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises: InputError with file and line where it is missing, unreadable, larger than
        1 MiB or not strict YAML.
    """
    path = Path(path)
    try:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(
                f"{path} must be a YAML file, but it {problem}. Check the path."
            )
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"{path} must be at most {MAX_BYTES} bytes, got {size}. Is it a recipe?"
            )
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be readable UTF-8 text, got: {error}.") from None
    document = _parse(text, str(path))
    if not isinstance(document, dict):
        raise InputError(
            f"{path} must hold a mapping of keys, got {type(document).__name__}."
        )
    return document


def apply_overrides(document: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of document with each override `a.b=value` applied; values are YAML.

    Raises: InputError for an override without `=`, or one below a key that is not a
        mapping.
    """
    result: dict[str, Any] = _copied(document)
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, last = key.strip().split(".")
        if not equals or not all((*parents, last)):
            raise InputError(
                f"--set must look like key.subkey=value, got {override[:60]!r}."
            )
        # Sections that a recipe leaves out may be set too.
        target = result
        for depth, name in enumerate(parents):
            target = target.setdefault(name, {})
            if not isinstance(target, dict):
                parent = ".".join(parents[: depth + 1])
                raise InputError(
                    f"--set {override[:60]}: {parent} must be a section, got {target!r}."
                )
        target[last] = _parse(text, f"--set {override[:60]}")
    return result


def set_keys(
    document: dict[str, Any], values: dict[str, Any], where: str
) -> dict[str, Any]:
    """A copy of document with values at dotted keys.

    Raises: InputError for a key below one that is not a mapping.
    """
    result: dict[str, Any] = _copied(document)
    for key, value in values.items():
        *parents, last = key.split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise InputError(f"{where}: {key} must be a key of the recipe.")
        target[last] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    """A copy of nested mappings; other values are shared, since they are never changed."""
    if not isinstance(value, dict):
        return value
    return {key: _copied(item) for key, item in value.items()}


def write_document(document: dict[str, Any]) -> str:
    """YAML text that `load_document` reads back unchanged."""
    return str(
        yaml.dump(
            document,
            Dumper=_PlainDumper,
            sort_keys=False,
            allow_unicode=True,
            width=110,
        )
    )
