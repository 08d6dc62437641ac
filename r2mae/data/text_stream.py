"""Open text files, compressed or not, in UTF-8, UTF-16 with a byte order mark, or another encoding."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from r2mae.errors import InputError, first_line

COMPRESSED = (".gz", ".zst")
_BLOCK = 1 << 22  # bytes
_SAMPLE = 1 << 12  # bytes at the beginning of a file, to recognise its encoding
_BYTE_ORDER_MARKS = (  # UTF-32's little-endian one begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


def suffix_of(path: Path) -> str:
    """The suffix in lower case, without that of a compression: ".csv" of A.CSV.gz."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def is_compressed(path: Path) -> bool:
    """Whether a file's name ends in .gz or .zst."""
    return path.suffix.lower() in COMPRESSED


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, decompressed. Raises: InputError for a damaged compressed file."""
    import pyarrow as pa  # type: ignore[import-untyped]

    suffix = path.suffix.lower()
    if suffix not in COMPRESSED:
        with path.open("rb") as file:
            yield file
        return
    try:
        if suffix == ".gz":
            with gzip.open(path) as unzipped:
                yield cast("IO[bytes]", unzipped)
        else:
            with (
                pa.OSFile(str(path)) as raw,
                pa.CompressedInputStream(raw, "zstd") as s,
            ):
                yield io.BufferedReader(s)
    except (gzip.BadGzipFile, EOFError, zlib.error, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from None  # pyarrow's, of damaged Zstandard files


def _damaged(path: Path, error: Exception) -> InputError:
    kind = "gzip" if path.suffix.lower() == ".gz" else "Zstandard"
    return InputError(
        f"{path} must be a complete {kind} file, got: {first_line(error)}. "
        "Copy it again."
    )


def find_encoding(path: Path, named: str) -> tuple[str, int]:
    """(encoding of a file, bytes of its byte order mark).

    named: encoding of a file without such a mark.

    Raises: InputError for what looks like UTF-16 without a byte order mark.
    """
    with open_bytes(path) as file:
        sample = file.read(_SAMPLE)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return encoding, len(mark)
    if normalised(named) not in _WIDE and 4 * sample.count(0) > len(sample):
        raise InputError(
            f"{path} must be {named.upper()}, got NUL bytes, as in UTF-16 without a "
            "byte order mark. Convert it: iconv -f utf-16le -t utf-8."
        )
    return named, 0


def normalised(encoding: str) -> str:
    """Python's name of an encoding. Raises: LookupError for an unknown one."""
    return codecs.lookup(encoding).name


def check_encoding(name: str) -> None:
    """Raise InputError unless this encoding can be decoded from the start of any line."""
    try:
        is_supported = normalised(name) in _WIDE or "\n".encode(name) == b"\n"
    except LookupError:
        is_supported = False
    if not is_supported:
        raise InputError(
            f"--encoding must be of text whose line ends are one byte, or UTF-16, "
            f"got {name!r}. Convert: iconv -t utf-8."
        )


@contextmanager
def open_text(path: Path, named: str, errors: str = "strict") -> Iterator[IO[str]]:
    """A file's text without its byte order mark; line ends are kept.

    named: encoding of a file without such a mark.
    """
    encoding, mark = find_encoding(path, named)
    with open_bytes(path) as file:
        file.read(mark)
        text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
        try:
            yield text
        finally:
            text.detach()


def decoded_blocks(path: Path, named: str, start: int = 0) -> Iterator[tuple[str, str]]:
    """(text, encoding) of blocks of a file, from a byte on that begins a character.

    Raises: InputError naming the first byte that is not of the encoding.
    """
    encoding, mark = find_encoding(path, named)
    decoder = codecs.getincrementaldecoder(encoding)()
    at = max(start, mark)
    with open_bytes(path) as file:
        _skip(file, at)
        block = b"-"
        while block:
            block = file.read(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset = at - pending + error.start
                raise _undecodable(path, encoding, error, offset) from None
            at += len(block)
            if text:
                yield text, encoding


def check_text(path: Path, named: str = "utf-8") -> None:
    """Raise InputError naming the first byte that is not of the encoding; constant memory."""
    for _ in decoded_blocks(path, named):
        pass


def is_unicode(text: str) -> bool:
    """Whether a text has no halves of surrogate pairs, which stand for undecoded bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _skip(file: Any, count: int) -> None:
    """Move forward by `count` bytes; Zstandard streams cannot seek, so they are read."""
    if count and file.seekable():
        file.seek(count)
        return
    while count:
        count -= len(file.read(min(count, _BLOCK))) or count


def _undecodable(
    path: Path, encoding: str, error: UnicodeDecodeError, offset: int
) -> InputError:
    byte = f"byte 0x{error.object[error.start]:02x} at offset {offset:,}"
    return InputError(
        f"{path} must be {encoding.upper()}, got {byte}. "
        "Convert it to UTF-8, such as by iconv -f latin1 -t utf-8; r2mae data build "
        "also reads others, by --encoding."
    )
