"""`r2mae data`: convert files of usual formats to stores for training, and describe a store."""

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2mae.cli.arguments import Parser, add_json
from r2mae.errors import InputError
from r2mae.json_text import json_text

BUILD, INSPECT = "build", "inspect"


def add_arguments(parser: ArgumentParser) -> None:
    """`build KIND`, with the kinds of all wings, and `inspect STORE`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=Parser
    )
    text = "convert files to a memory-mapped store; the same command resumes"
    build = actions.add_parser(BUILD, help=text, description=text)
    _add_kinds(build)
    inspect = actions.add_parser(
        INSPECT, help="describe a store", description="describe a store"
    )
    inspect.add_argument("out", metavar="STORE")
    add_json(inspect)


def _add_kinds(parser: ArgumentParser) -> None:
    from r2mae.modalities import find_builds

    kind_parsers = parser.add_subparsers(
        dest="build", required=True, metavar="KIND", parser_class=Parser
    )
    for kind, build in find_builds().items():
        added = kind_parsers.add_parser(kind, help=build.help, description=build.help)
        build.add_arguments(added)
        add_json(added)


def run(arguments: Namespace) -> None:
    """Build a store and describe it, or describe an existing one."""
    from r2mae.modalities import find_builds

    if arguments.action == INSPECT:
        return describe(Path(arguments.out), arguments.json)
    with _stopped_by_sigterm():
        place = find_builds()[arguments.build].run(arguments)
    return describe(place, arguments.json)


def describe(place: Path, as_json: bool) -> None:
    """Print a report on a store. Raises: InputError if place is not a store."""
    from r2mae.data.kinds import kind_of_path, remedy_for
    from r2mae.modalities import find_stores

    kind = kind_of_path(place)
    store = find_stores().get(kind)
    if store is None:
        raise InputError(f"{place} must be a store, got {kind}. {remedy_for(kind)}")
    report = store.inspect(place)
    print(json_text(report)) if as_json else store.show(report)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends a build as Ctrl-C does, deleting unusable partial files; exit code 143."""

    def stop(number: int, _: object) -> None:
        print(f"r2mae: stopped by signal {number}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
