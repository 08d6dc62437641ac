"""Fingerprints: short SHA-256 digests of files, arrays and text, which change when data does."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

_WHOLE = 64 << 20  # bytes; larger files are known by size, first and last MiB
_EDGE = 1 << 20


def fingerprint_files(root: Path, files: Iterable[Path], contents: bool = True) -> str:
    """16 hex digits over relative names, sizes and (contents=True) bytes of files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(_name_and_size(str(path.relative_to(root)), size))
        if contents:
            digest.update(_content(path, size))
    return shortened(digest)


def fingerprint_sizes(files: Iterable[tuple[str, int]]) -> str:
    """`fingerprint_files` without contents, of (relative name, bytes) in the order of paths."""
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(_name_and_size(name, size))
    return shortened(digest)


def fingerprint_bytes(content: str | bytes) -> str:
    """16 hex digits over bytes, or over text in UTF-8."""
    encoded = content.encode() if isinstance(content, str) else content
    return shortened(hashlib.sha256(encoded))


def fingerprint_array(array: npt.NDArray[np.generic]) -> str:
    """16 hex digits over an array's type, shape and bytes."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return shortened(digest)


def shortened(digest: "hashlib._Hash") -> str:
    """The 16 hex digits of a SHA-256 digest that fingerprints are made of."""
    return digest.hexdigest()[:16]


def _name_and_size(name: str, size: int) -> bytes:
    return f"{name}\0{size}\0".encode(errors="surrogateescape")


def _content(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        if size <= _WHOLE:
            return hashlib.file_digest(file, "sha256").digest()
        edges = file.read(_EDGE)
        file.seek(-_EDGE, 2)
        return hashlib.sha256(edges + file.read(_EDGE)).digest()
