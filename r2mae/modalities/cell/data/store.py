"""A store of cells: one compressed matrix in memory-mapped files, which all processes of a machine share.

store.json    what it is: genes, files it came from, columns of obs, sizes, fingerprint
starts.npy    (N + 1,) int64, where cells begin in the two below
genes.npy     (E,) uint16 or uint32, the gene of an entry, rising within a cell
values.npy    (E,) uint16 or uint32 counts, or float32 scaled values
totals.npy    (N,) float64, sum of a cell
names.npy     (N,) bytes, what its file calls a cell
file.npy      (N,) int32, which file a cell came from
stats.npy     (3, G) float64: cells with the gene, sum, sum of squares
obs/<n>.npy   (N,) int32 category codes (-1: none), or float64 numbers
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.errors import InputError, did_you_mean

Array = npt.NDArray[Any]
META, FORMAT = "store.json", 1
_MAX_CLASSES = 10_000  # of a column of numbers
ARRAYS = ("starts", "genes", "values", "totals", "names", "file", "stats")


@dataclass(frozen=True, eq=False)  # a key of caches: equal only to itself
class CellStore:
    """N cells of G genes, opened by `open_store`. Arrays are maps of files."""

    path: Path
    meta: dict[str, Any]
    starts: Array
    genes: Array
    values: Array
    totals: Array
    names: Array
    file: Array
    stats: Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def place(self) -> str:
        """What a message calls it: the file that it was made of, where there is one."""
        files = self.meta["files"]
        return str(files[0]["path"] if len(files) == 1 else self.path)

    @property
    def gene_names(self) -> list[str]:
        """The G genes in order."""
        return list(self.meta["genes"])

    @property
    def fingerprint(self) -> str:
        """16 hex digits over what it was built from and how."""
        return str(self.meta["fingerprint"])

    @property
    def file_names(self) -> list[str]:
        """What the column "file" calls the files: without folders, unless two are then alike."""
        names = [str(file["name"]) for file in self.meta["files"]]
        if len(set(names)) < len(names):
            return [str(file["path"]) for file in self.meta["files"]]
        return names

    def cell_name(self, row: int) -> str:
        """What its file calls a cell; files may have names in common."""
        return bytes(self.names[row]).decode()

    def measured(self) -> Array:
        """(F, G) bool: which genes each file had."""
        table = np.zeros(
            (len(self.meta["files"]), len(self.meta["genes"])), dtype=np.bool_
        )
        for row, file in zip(table, self.meta["files"], strict=True):
            row[:] = True
            row[file["missing"]] = False
        return table

    def genes_of_cells(self) -> Array:
        """(N,) how many genes a cell has a count of."""
        return np.diff(self.starts)

    def column(self, name: str) -> tuple[Array, list[str]]:
        """(codes (N,) int32, names of the codes) of a column of obs, or of "file"; -1 where a cell has none.

        Raises: InputError naming the columns there are; for columns of fractions.
        """
        if name == "file":
            return np.asarray(self.file), self.file_names
        columns = self.meta["obs"]
        if name not in columns:
            near = did_you_mean(name, ["file", *columns])
            raise InputError(
                f"{self.place} must have a column {name!r} in obs, got {len(columns)} others. {near}"
            )
        column = columns[name]
        values = np.load(self.path / "obs" / column["file"], mmap_mode="r")
        if column["categories"] is not None:
            return values, list(column["categories"])
        numbers, codes = np.unique(values, return_inverse=True, equal_nan=True)
        codes = codes.astype(np.int32)
        if len(numbers) and np.isnan(numbers[-1]):  # sorted last
            numbers = numbers[:-1]
            codes[codes == len(numbers)] = -1
        fractions = numbers[numbers != numbers.round()]
        if len(fractions) or len(numbers) > _MAX_CLASSES:
            got = (
                f"fractions such as {fractions[0]:g}"
                if len(fractions)
                else f"{len(numbers):,} different numbers"
            )
            raise InputError(
                f"{self.place}: column {name!r} must hold classes, got {got}. "
                "Choose another column."
            )
        return codes, [number_text(number) for number in numbers]


def number_text(number: Any) -> str:
    """A number as the name of a class: whole ones without a decimal point."""
    value = float(number)
    return str(int(value)) if value.is_integer() else repr(value)


def open_store(path: Path) -> CellStore:
    """Map a store. Raises: InputError when it is none, or damaged."""
    try:
        meta = json.loads((path / META).read_text())
    except (OSError, ValueError):
        raise InputError(
            f"{path} must be a store of cells, got no readable {META}. Build one: r2mae data build cell."
        ) from None
    if meta.get("format") != FORMAT:
        raise InputError(
            f"{path} must be of format {FORMAT}, got {meta.get('format')}. Build it again."
        )
    arrays = {}
    for name in ARRAYS:
        file = path / f"{name}.npy"
        try:
            size = file.stat().st_size
            arrays[name] = np.load(file, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{file} must be a whole array, got: {error}. Build the store again."
            ) from None
        if size != meta["bytes"][name]:
            raise InputError(
                f"{file} must have {meta['bytes'][name]} bytes, got {size}. Build the store again."
            )
    return CellStore(path, meta, **arrays)


def is_store(path: Path) -> bool:
    """True for a folder that says it is a store."""
    return (path / META).is_file()
