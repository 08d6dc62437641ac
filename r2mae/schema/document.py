"""Strict YAML: one plain mapping a file, no surprises of YAML 1.1, every mistake one line with its line number."""

import re
from pathlib import Path
from typing import Any

import yaml

from r2mae.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.2's core scalars (`1e-4` is a number, `no` a word); no aliases, duplicate keys or deep nesting."""

    yaml_implicit_resolvers = {}  # type: ignore[var-annotated]  # noqa: RUF012 - how PyYAML is told
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases must not be used",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem=f"tag {event.tag} must not be used",
                problem_mark=event.start_mark,
            )
        if any(
            "\ud800" <= letter <= "\udfff"
            for letter in getattr(event, "value", None) or ""
        ):
            raise yaml.MarkedYAMLError(
                problem="a word must be Unicode text", problem_mark=event.start_mark
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f"nesting must not exceed {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a word", problem_mark=key_node.start_mark
                )
            key = key_node.value
            if key in mapping:
                problem = f"key {key!r} must appear once, got it twice"
                raise yaml.MarkedYAMLError(
                    problem=problem, problem_mark=key_node.start_mark
                )
            mapping[key] = self.construct_object(value_node, deep=deep)  # type: ignore[no-untyped-call]
        return mapping


class _PlainDumper(yaml.SafeDumper):
    """Quotes every word that either YAML 1.1 or the strict loader would take for something else; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


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
    for _kind in (_StrictLoader, _PlainDumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
        )
for _tag, _construct in (
    ("int", lambda loader, node: _number(int, loader.construct_scalar(node), node)),
    ("float", lambda loader, node: _number(float, loader.construct_scalar(node), node)),
    ("map", lambda loader, node: loader.construct_mapping(node, deep=True)),
):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct)


def _number(kind: type[int] | type[float], text: str, node: yaml.Node) -> int | float:
    if len(text) > 40:
        problem = f"a number must have at most 40 characters, got {len(text)}"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return kind(text)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            f"{where}{line}: YAML must be well-formed: {error.problem or error.context}."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: YAML must be well-formed: {str(error).splitlines()[0]}."
        ) from None


def load_document(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises: InputError naming the file (and line) when it is missing, unreadable, too large or not strict YAML.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(
                f"{path} must be a YAML file, but it {what}. Check the path."
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
    """Return a copy of document with every `a.b=value` of overrides set; values are read as YAML.

    Raises: InputError for an override without `=`, or one that descends into something that is no mapping.
    """
    result: dict[str, Any] = _copied(document)
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, last = key.strip().split(".")
        if not equals or not all((*parents, last)):
            raise InputError(
                f"--set must look like key.subkey=value, got {override[:60]!r}."
            )
        target = result
        for depth, name in enumerate(parents):
            target = target.setdefault(name, {})
            if not isinstance(target, dict):
                done = ".".join(parents[: depth + 1])
                raise InputError(
                    f"--set {override[:60]}: {done} must be a section, got {target!r}."
                )
        target[last] = _parse(text, f"--set {override[:60]}")
    return result


def _copied(value: Any) -> Any:
    return (
        {key: _copied(item) for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


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
