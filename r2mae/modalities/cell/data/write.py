"""Second pass over files of cells: write the arrays of a store, and the columns of obs."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from r2mae.data.journal import Journal
from r2mae.modalities.cell.data.blocks import CellFile, Values, select_columns
from r2mae.modalities.cell.data.scan import Array, Scan
from r2mae.modalities.cell.data.store import number_text
from r2mae.progress import Progress


class StoreWriter:
    """Writes the matrix of a store block by block; an interrupted one is resumed.

    Args:
        work: folder that is being built.
        files: of the cells, in order.
        scans: of the files.
        columns: for each file, the index of its genes in the vocabulary (G_file,), or -1.
        stats: (3, G) sums of the vocabulary's genes, for stats.npy.
        values: of the matrix.
    """

    def __init__(
        self,
        work: Path,
        files: list[CellFile],
        scans: list[Scan],
        columns: list[Array],
        stats: Array,
        values: Values,
    ) -> None:
        self.work, self.files, self.scans, self.columns = work, files, scans, columns
        self.stats, self.values = stats, values
        self.cells = int(sum(scan.is_kept.sum() for scan in scans))
        self.entries = int(stats[0].sum())
        self.journal = Journal(work)
        self.done = {"file": 0, "cell": 0, "row": 0, "entry": 0}

    def write(self, progress: Progress) -> None:
        """Write all arrays, from where the journal stopped."""
        state = self.journal.read()
        self.done = state or self.done
        np.save(self.work / "stats.npy", self.stats)
        names = [
            np.char.encode(file.cell_names[scan.is_kept], "utf-8")
            for file, scan in zip(self.files, self.scans, strict=True)
        ]
        np.save(self.work / "names.npy", np.concatenate(names))
        arrays = {
            name: _ArrayFile(self.work / f"{name}.npy", *shape, fresh=state is None)
            for name, shape in self._shapes().items()
        }
        arrays["starts"].put(0, np.zeros(1, dtype=np.int64))
        for number in range(self.done["file"], len(self.files)):
            self._write_file(number, arrays, progress)
        for array in arrays.values():
            array.file.close()
        assert (self.done["row"], self.done["entry"]) == (self.cells, self.entries)

    def _shapes(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Array -> its type and number of items."""
        has_small_counts = max(scan.greatest for scan in self.scans) < 1 << 16
        integers = np.uint16 if has_small_counts else np.uint32
        values = np.dtype(np.float32 if self.values == "scaled" else integers)
        genes = np.dtype(np.uint16 if self.stats.shape[1] <= 1 << 16 else np.uint32)
        return {
            "starts": (np.dtype(np.int64), self.cells + 1),
            "genes": (genes, self.entries),
            "values": (values, self.entries),
            "totals": (np.dtype(np.float64), self.cells),
            "file": (np.dtype(np.int32), self.cells),
        }

    def _write_file(
        self, number: int, arrays: dict[str, "_ArrayFile"], progress: Progress
    ) -> None:
        """Write the kept cells of one file, and the journal after each block."""
        file, is_kept = self.files[number], self.scans[number].is_kept
        first_cell = self.done["cell"] if number == self.done["file"] else 0
        for first, block in file.blocks(self.values, first_cell):
            block.eliminate_zeros()
            stop = first + block.shape[0]
            kept = block[is_kept[first:stop]]
            kept = select_columns(kept, self.columns[number], self.stats.shape[1])
            row, entry = self.done["row"], self.done["entry"]
            arrays["starts"].put(row + 1, entry + kept.indptr[1:])
            arrays["genes"].put(entry, kept.indices)
            arrays["values"].put(entry, kept.data)
            arrays["totals"].put(row, np.asarray(kept.sum(axis=1)).ravel())
            arrays["file"].put(row, np.full(kept.shape[0], number))
            for array in arrays.values():
                array.flush()
            row += kept.shape[0]
            entry += int(kept.nnz)
            self.done = {"file": number, "cell": stop, "row": row, "entry": entry}
            self.journal.write(self.done)
            progress(f"{file.path.name}, writing", stop, len(file))


class _ArrayFile:
    """A .npy file of a given type and length, written in parts.

    fresh: write the header; otherwise the file of an interrupted build is opened.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], length: int, *, fresh: bool
    ) -> None:
        if fresh:
            with path.open("wb") as file:
                header = {
                    "descr": dtype.str,
                    "fortran_order": False,
                    "shape": (length,),
                }
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + length * dtype.itemsize)
        self.dtype = dtype
        self.file = path.open("r+b")
        np.lib.format.read_magic(self.file)
        np.lib.format.read_array_header_1_0(self.file)
        self.offset = self.file.tell()

    def put(self, at: int, part: Array) -> None:
        """Write part from item `at` on."""
        self.file.seek(self.offset + at * self.dtype.itemsize)
        self.file.write(np.ascontiguousarray(part, dtype=self.dtype).tobytes())

    def flush(self) -> None:
        """Wait until it is on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())


def write_obs(work: Path, files: list[CellFile], scans: list[Scan]) -> dict[str, Any]:
    """Write every column of any file, as numbers if all files have numbers, else as categories.

    Files without a column have no value there.

    Returns: column -> {"file", "categories", "mixed": text in one file, numbers in another}.
    """
    (work / "obs").mkdir(exist_ok=True)
    columns = [str(name) for file in files for name in file.obs.columns]
    names = dict.fromkeys(columns)
    return {
        name: _write_column(work, f"{number}.npy", name, files, scans)
        for number, name in enumerate(names)
    }


def _write_column(
    work: Path, target: str, name: str, files: list[CellFile], scans: list[Scan]
) -> dict[str, Any]:
    import pandas as pd

    parts = [
        file.obs[name][scan.is_kept]
        if name in file.obs.columns
        else pd.Series(np.nan, index=range(scan.is_kept.sum()))
        for file, scan in zip(files, scans, strict=True)
    ]
    is_number = all(
        _is_number(part) and not isinstance(part.dtype, pd.CategoricalDtype)
        for part in parts
    )
    path = work / "obs" / target
    if is_number:
        numbers = [part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts]
        np.save(path, np.concatenate(numbers))
        return {"file": target, "categories": None, "mixed": False}
    texts = pd.concat([_as_texts(part) for part in parts], ignore_index=True)
    codes, categories = pd.factorize(texts, sort=True)
    np.save(path, codes.astype(np.int32))
    names = [str(category) for category in categories]
    has_values = [_is_number(part) for part in parts if part.notna().any()]
    return {"file": target, "categories": names, "mixed": len(set(has_values)) > 1}


def _is_number(part: Any) -> bool:
    """Whether a column holds numbers; a boolean is a class."""
    import pandas as pd

    dtype = part.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(
        dtype
    )


def _as_texts(part: Any) -> Any:
    """A column as text, where 3 and 3.0 are both "3"; missing values stay missing."""
    values = part.astype(object)
    convert = number_text if _is_number(part) else str
    return values.where(values.isna(), values.map(convert, na_action="ignore"))
