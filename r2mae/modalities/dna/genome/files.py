"""Files of sequences as others write them, plain, gzip or bgzip; folders that are there whole or not at all."""

import glob
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.kinds import kind_of_path
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import BLANKS, first_illegal

OnRead = Callable[[int], None]  # called with the bytes read of one file
BLOCK = 1 << 22
_LINE_ENDS = (b"\n", b"\r")
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def expand_dna(patterns: list[str]) -> list[Path]:
    """Files of paths and globs, in order. Raises: InputError when one matches nothing, or an empty file."""
    paths: list[Path] = []
    for pattern in patterns:
        literal = os.path.isfile(
            pattern
        )  # genome[1].fa is a file's name where there is such a file
        matches = [
            Path(path)
            for path in ([pattern] if literal else sorted(glob.glob(pattern)))
            if os.path.isfile(path)
        ]
        if not matches and os.path.isdir(pattern):
            raise InputError(
                f"{pattern} must be a file, or a glob that matches some, got {kind_of_path(Path(pattern))}. "
                f"Name the files, as {os.path.join(pattern, '*.fa.gz')} does."
            )
        if not matches:
            raise InputError(
                f"{pattern} must be a file, or a glob that matches some, got none. Check the path."
            )
        paths += matches
    for path in paths:
        if path.stat().st_size == 0:
            raise InputError(
                f"{path} must hold sequences, got an empty file. Leave it out."
            )
    return list(dict.fromkeys(paths))


def source_fingerprint(paths: list[Path], *options: Any) -> str:
    """16 hex digits over names and whole contents of files, and options."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        digests.append((path.name, digest))
    return fingerprint_bytes(repr((digests, options)))


def state_fingerprint(paths: list[Path], *options: Any) -> str:
    """16 hex digits that change when a file is written or an option changes, without reading the files."""
    stats = [(path, os.stat(path)) for path in map(os.path.realpath, paths)]
    states = [
        (path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        for path, stat in stats
    ]
    return fingerprint_bytes(repr((states, options)))


@contextmanager
def open_dna(path: Path, progress: OnRead = lambda _: None) -> Iterator[BinaryIO]:
    """A file to read, decompressed if needed. progress: called with the bytes of the file read so far.

    Raises: InputError, while it is read, for files that end early or are damaged.
    """
    with path.open("rb") as raw:
        start = raw.read(18)
        is_zipped = start[:2] == b"\x1f\x8b"
        if is_zipped and start[12:14] == b"BC":
            raw.seek(-min(len(_BGZF_END), path.stat().st_size), os.SEEK_END)
            if raw.read() != _BGZF_END:
                raise InputError(
                    f"{path} must be a complete bgzip file, got one without its last block. Download it again."
                )
        raw.seek(0)
        counted: Any = _ReportingFile(raw, progress)
        unzipped = gzip.GzipFile(fileobj=counted) if is_zipped else counted
        try:
            yield io.BufferedReader(unzipped, BLOCK)
        except EOFError:
            raise InputError(
                f"{path} must be a complete gzip file, got its end after byte {raw.tell():,}. Download it again."
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path} must be gzip throughout, got {error} near byte {raw.tell():,}. Download it again."
            ) from None


class _ReportingFile(io.RawIOBase):
    """A file that reports how many of its bytes were read."""

    def __init__(self, raw: BinaryIO, progress: OnRead) -> None:
        self.raw, self.progress = raw, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.raw.read(len(buffer))
        buffer[: len(block)] = block
        self.progress(self.raw.tell())
        return len(block)


def read_lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of an open file. Raises: InputError where lines end as old Macs had it."""
    first = file.readline()
    if b"\r" in first.rstrip():
        raise InputError(
            f"{path} must have lines that end in \\n, got \\r alone, as old Macs had it. Convert it: tr '\\r' '\\n'."
        )
    if first:
        yield 1, first
        yield from enumerate(file, 2)


def read_fasta(
    path: Path,
    table: bytes,
    progress: OnRead = lambda _: None,
    *,
    whole_header: bool = False,
) -> Iterator[tuple[str, bytes]]:
    """(record, codes of some of its bases), in order; a record comes with no bases first.

    Lines may end in \\n, \\r\\n or \\r alone.

    table: of `bases`, letters to codes.
    whole_header: records are called by their header line, not by its first word.
    Raises: InputError for letters that are none, with record and offset, and for what is no FASTA.
    """
    with open_dna(path, progress) as file:
        name, done, rest, last = "", 0, b"", b"\n"
        while block := file.read(BLOCK):
            block, rest, at = rest + block, b"", 0
            while True:
                mark = block.find(b">", at)
                body = block[at : mark if mark >= 0 else None]
                codes = _checked_codes(path, name, body, table, done)
                if mark >= 0 and (body[-1:] or last) not in _LINE_ENDS:
                    raise _illegal_letter(path, name, ">", done + len(codes))
                if codes:
                    done += len(codes)
                    yield name, codes
                if mark < 0:
                    break
                end = _line_end(block, mark)
                if end < 0:
                    rest = block[mark:]
                    break
                header = block[mark + 1 : end]
                name, done, at = _name(path, header, name, whole_header), 0, end + 1
                yield name, b""
            last = b"\n" if rest else block[-1:]
        if rest:
            yield _name(path, rest[1:], name, whole_header), b""


def _checked_codes(
    path: Path, record: str, body: bytes, table: bytes, done: int
) -> bytes:
    """Codes of lines of bases. done: bases of the record before these.

    Raises: InputError for illegal letters, and for bases before the first record.
    """
    codes = body.translate(table, BLANKS)
    if codes and not record:
        raise _no_fasta(path, body)
    wrong = first_illegal(codes)
    if wrong >= 0:
        letter = chr(body.translate(None, BLANKS)[wrong])
        raise _illegal_letter(path, record, letter, done + wrong)
    return codes


def _no_fasta(path: Path, body: bytes) -> InputError:
    is_maf = body.lstrip().startswith(b"##maf")
    hint = " Alignments are read with data.alignment." if is_maf else ""
    return InputError(
        f"{path} must begin with '>', as FASTA does, got {body.strip()[:20]!r}.{hint}"
    )


def _illegal_letter(path: Path, record: str, letter: str, base: int) -> InputError:
    """base: counted from 0."""
    hint = " Gaps belong to alignments: r2mae data build msa." if letter in "-." else ""
    return InputError(
        f"{path}: record {record} must hold IUPAC letters, got {letter!r} at base {base + 1:,}.{hint}"
    )


def _line_end(block: bytes, start: int) -> int:
    """Where a line ends: at \\n, or, as old Macs had it, at \\r alone; -1 where it goes on beyond the block."""
    end = block.find(b"\n", start)
    alone = block.find(b"\r", start, end if end >= 0 else None)
    return alone if alone >= 0 else end


def _name(path: Path, header: bytes, after: str, whole_header: bool) -> str:
    fields = header.split()
    if not fields:
        where = f"after record {after}" if after else "at the top"
        raise InputError(
            f"{path}: every record must have a name, got '>' alone {where}."
        )
    name = b" ".join(fields) if whole_header else fields[0]
    return name.decode(errors="replace")
