"""A tutorial page: its fenced blocks, run in order, and what each of them prints."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2mae.cli.main import main

_FENCE = re.compile(r"([^\n]*)\n```(\w+)\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"`([\w.-]+\.yaml)`")
_DECIMAL = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
TOLERANCE = 0.1  # of decimals: absolute, and as much again relative


@dataclass(frozen=True)
class Block:
    """language: sh, python, yaml or text. above: the line before the fence."""

    language: str
    code: str
    above: str

    @property
    def file(self) -> str:
        """The file that a yaml block is written to, named in the line above."""
        named = _FILE.search(self.above)
        assert named, f"no `FILE.yaml` above: {self.code[:60]!r}"
        return named[1]

    @property
    def commands(self) -> list[list[str]]:
        """Arguments of each `r2mae` line, without comments."""
        lines = self.code.replace("\\\n", " ").splitlines()
        split = [shlex.split(line, comments=True) for line in lines]
        assert all(parts[:1] == ["r2mae"] for parts in split if parts), self.code
        return [parts[1:] for parts in split if parts]


def read_blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    without_blank_lines = re.sub(r"\n\s*\n```", "\n```", page)
    return [
        Block(language, code, above)
        for above, language, code in _FENCE.findall(without_blank_lines)
    ]


def run_blocks(blocks: list[Block]) -> Iterator[tuple[Block, str]]:
    """Runs the blocks in this folder; yields each with what it, or for text the block before, printed."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks:
        if block.language == "yaml":
            Path(block.file).write_text(block.code)
        elif block.language != "text":
            printed = _run(block, namespace)
        yield block, printed


def _run(block: Block, namespace: dict[str, Any]) -> str:
    terminal = io.StringIO()
    with contextlib.redirect_stdout(terminal), contextlib.redirect_stderr(terminal):
        if block.language == "python":
            exec(compile(block.code, "<tutorial>", "exec"), namespace)
        else:
            assert block.language == "sh", block.language
            for arguments in block.commands:
                code = main(arguments)
                assert code == 0, f"{arguments}: {code}\n{terminal.getvalue()}"
    return terminal.getvalue()


def mismatch(expected: str, printed: str) -> str:
    """ "" where printed is what the page shows, else the first difference.

    `...` stands for any text, and on a line of its own for any lines. Decimals may differ by TOLERANCE; all else,
    whole numbers too, must be equal. Several blanks are one.
    """
    lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    position, is_open = 0, False
    for line in filter(str.strip, expected.splitlines()):
        if line.strip() == "...":
            is_open = True
            continue
        rest = lines[position:] if is_open else lines[position : position + 1]
        fits = [number for number, other in enumerate(rest) if _is_like(line, other)]
        if not fits:
            return f"{line!r} is not in {rest!r}"
        position, is_open = position + fits[0] + 1, False
    return "" if is_open else " / ".join(lines[position:])


def _is_like(expected: str, printed: str) -> bool:
    expected = " ".join(expected.split())
    literal = re.escape(_DECIMAL.sub("#", expected)).replace(r"\#", "#")
    pattern = literal.replace(r"\.\.\.", ".*").replace("#", f"({_DECIMAL.pattern})")
    match = re.fullmatch(pattern, printed)
    if match is None:
        return False
    pairs = zip(_DECIMAL.findall(expected), match.groups(), strict=True)
    return all(
        abs(float(a) - float(b)) <= TOLERANCE * (1 + abs(float(a))) for a, b in pairs
    )
