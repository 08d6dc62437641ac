"""Labelled sequences as batches, of tables and FASTA: each a sample, shorter ones padded.

B sequences, N bases of the longest.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.card import load_card, locate
from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.data.labels import class_numbers, real_numbers
from r2mae.data.mapped import Integers
from r2mae.data.objects import list_objects
from r2mae.data.source import Batch, SampleSource
from r2mae.data.text_files import check_column, read_table
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import COMPLEMENT, GENOME, PLAIN, Codes
from r2mae.modalities.dna.genome.files import expand_dna, read_fasta
from r2mae.modalities.dna.genome.windows import draw_strands
from r2mae.modalities.dna.schema import DnaSequenceData
from r2mae.modalities.dna.sequences.tables import COLUMN, is_table, row_codes
from r2mae.modalities.dna.tokens import PADDING

_BARE = bytes(
    code if code > 15 else code & PLAIN for code in range(256)
)  # for translate: no soft masks
_PARTNERS = COMPLEMENT.tobytes().ljust(256, b"\0")  # for translate: of plain codes
_FASTA = (".fa", ".fasta", ".fna")


class Sequences:
    """A `SampleSource` of sequences: codes (T,) end to end, starts (N + 1,).

    `load` gives "bases" (B, N) int64, of longer ones the `most` in the middle, and, where lengths differ, "lengths"
    (B,). With both_strands and positions half of them, by a hash of their position, come as the other strand reads
    them; without positions the other strand comes beside, as "other_strand", a batch of the same.
    targets: (N,) numbers to predict, where labels are no classes.
    left_out: training sequences that the test split holds too. names: of FASTA records. note: what of the sequences is
    not read, in words.
    """

    labels_absent = "none. Set data.label_column."

    def __init__(
        self,
        codes: Codes,
        starts: Integers,
        most: int,
        *,
        fingerprint: str,
        where: str,
        labels: Integers | None = None,
        targets: npt.NDArray[np.float32] | None = None,
        class_names: dict[int, str] | None = None,
        left_out: int = 0,
        both_strands: bool = False,
        names: list[str] | None = None,
        note: str = "",
    ) -> None:
        self.codes, self.starts, self.most = codes, starts, most
        self.fingerprint, self.where = fingerprint, where
        self.labels, self.class_names = labels, class_names or {}
        self.targets = targets
        self.left_out = left_out
        self.both_strands = both_strands
        self.names = names
        self.note = note
        sizes = np.minimum(np.diff(starts), most)
        self.shortest, self.is_even = (
            int(sizes.min()),
            int(sizes.min()) == int(sizes.max()),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def name(self, index: int) -> str:
        """What a message calls a sequence."""
        return f"{self.where}, row {index}" if self.names is None else self.names[index]

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Sequences at indices (B,), padded to the longest of them."""
        rows = indices.numpy()
        is_reverse = np.zeros(len(rows), dtype=np.bool_)
        if positions is not None and self.both_strands:
            is_reverse = draw_strands(positions, seed)
        batch = self._read(rows, is_reverse)
        if positions is None and self.both_strands:
            batch["other_strand"] = self._read(rows, ~is_reverse)
        return batch | {"indices": indices, "skipped": ()}

    def _read(self, rows: Integers, is_reverse: npt.NDArray[np.bool_]) -> Batch:
        turned, wholes = (
            is_reverse[:, None],
            (self.starts[rows + 1] - self.starts[rows])[:, None],
        )
        lengths = np.minimum(wholes, self.most)
        # The middle as each strand has it: where an odd number is cut away, one base apart.
        begins = self.starts[rows, None] + (wholes - lengths + turned) // 2
        place = np.arange(int(lengths.max()))
        is_inside = place < lengths
        found = self.codes[
            np.where(
                is_inside, begins + np.where(turned, lengths - 1 - place, place), 0
            )
        ]
        found = np.where(turned, COMPLEMENT[found], found)
        batch: Batch = {
            "bases": torch.from_numpy(
                np.where(is_inside, found, PADDING).astype(np.int64)
            )
        }
        return (
            batch
            if self.is_even
            else batch | {"lengths": torch.from_numpy(lengths[:, 0])}
        )


def open_sequences(
    section: DnaSequenceData, split: str, *, regression: bool = False
) -> SampleSource:
    """Labelled sequences of a split, "train" or "test"; training leaves out what the test split holds too.

    regression: labels are numbers, not classes.
    Raises: InputError when the data is not there or damaged, or a column is missing.
    """
    card = load_card(section.card)
    place = locate(card, section.root)
    if place is None:
        raise InputError(
            "data.root must be given for this card, got nothing. Name the folder of your data."
        )
    files = {
        name: _find(place, card.files.get(name, (f"{name}.*",)))
        for name in ("train", "test")
    }
    label = section.label_column or card.label_column
    if split == "test":
        return _read(section, files["test"], label, regression=regression)
    texts = _letters(section, files["test"], None).texts
    held = {
        _middle(text, section.length)
        for text in (*texts, *(map(_turned, texts) if section.both_strands else ()))
    }
    return _read(section, files["train"], label, held, regression=regression)


def open_given_sequences(section: Any, paths: list[str]) -> SampleSource:
    """All sequences of a file that a user names, without labels."""
    (file, *more) = expand_dna(paths)
    if more:
        raise InputError(f"DATA must be one file, got {1 + len(more)}.")
    if not _kind(file):
        raise InputError(
            f"{file} must be .csv, .tsv, .jsonl, .parquet or FASTA, got {file.suffix!r}. Rename it."
        )
    return _read(section, file, None)


def open_sequence_objects(
    sequences: Any, length: int, *, both_strands: bool
) -> SampleSource:
    """Sequences in memory, without labels. length: bases; longer ones are cut at both ends alike.

    Raises: InputError for what is no list of sequences.
    """
    texts = list_objects(sequences, "sequences")
    codes = [row.translate(_BARE) for row in row_codes("objects", "the list", texts)]
    long = sum(len(row) > length for row in codes)
    return Sequences(
        np.frombuffer(b"".join(codes), dtype=np.uint8),
        np.cumsum([0, *map(len, codes)]),
        length,
        fingerprint="in memory",
        where="objects",
        both_strands=both_strands,
        note=_cut_note(long, length),
    )


def _cut_note(num_cut: int, length: int) -> str:
    """What of the sequences is not read."""
    if not num_cut:
        return ""
    return f"both ends of {num_cut:,} sequences longer than {length:,} bases"


def _find(place: Path, names: tuple[str, ...]) -> Path:
    found = [path for name in names for path in sorted(place.glob(name)) if _kind(path)]
    if not found:
        raise InputError(
            f"{place} must hold {' or '.join(names)}, got no table or FASTA of that name."
        )
    return found[0]


def _kind(path: Path) -> str:
    """ "fasta", "table", or nothing for other files."""
    if path.name.lower().removesuffix(".gz").endswith(_FASTA):
        return "fasta"
    return "table" if is_table(path) else ""


def _read(
    section: Any,
    path: Path,
    label: str | None,
    held: set[bytes] = frozenset(),  # type: ignore[assignment]
    *,
    regression: bool = False,
) -> Sequences:
    texts, labels, targets, class_names, names = _letters(
        section, path, label, regression=regression
    )
    most = section.length
    kept = [row for row, text in enumerate(texts) if _middle(text, most) not in held]
    if not kept:
        raise InputError(
            f"{path} must hold sequences that the test split does not, got none."
        )
    chosen = [texts[row] for row in kept]
    long = sum(len(text) > most for text in chosen)
    starts = np.cumsum([0, *map(len, chosen)])
    codes = np.frombuffer(b"".join(chosen), dtype=np.uint8)
    content = codes.tobytes() + starts.tobytes()
    options = repr((path.name, label, most)).encode()
    return Sequences(
        codes,
        starts,
        most,
        fingerprint=fingerprint_bytes(content + options),
        where=str(path),
        labels=None if labels is None else labels[kept],
        targets=None if targets is None else targets[kept],
        class_names=class_names,
        left_out=len(texts) - len(kept),
        both_strands=section.both_strands,
        names=None if names is None else [names[row] for row in kept],
        note=_cut_note(long, most),
    )


def _middle(codes: bytes, most: int) -> bytes:
    start = max(0, len(codes) - most) // 2
    return codes[start : start + most]


def _turned(codes: bytes) -> bytes:
    """As the other strand reads it."""
    return codes[::-1].translate(_PARTNERS)


class _File(NamedTuple):
    """Codes of every sequence of a file, class numbers or numbers or neither, names of classes and of records."""

    texts: list[bytes]
    labels: Integers | None
    targets: npt.NDArray[np.float32] | None
    class_names: dict[int, str]
    names: list[str] | None


def _letters(
    section: Any, path: Path, label: str | None, *, regression: bool = False
) -> _File:
    rows: Any = (
        _Records(path)
        if _kind(path) == "fasta"
        else read_table(path, load_card(section.card).text)
    )
    column = getattr(section, "column", COLUMN) if _kind(path) == "table" else COLUMN
    wanted = label if _kind(path) == "table" else label and "label"
    for name in (column, *([] if wanted is None else [wanted])):
        check_column(rows.column_names, name, str(path))
    is_fasta = isinstance(rows, _Records)
    sequences = rows.codes if is_fasta else row_codes(path, column, rows[column])
    found = [codes.translate(_BARE) for codes in sequences]
    if not found:
        raise InputError(f"{path} must hold sequences, got none.")
    names = getattr(rows, "names", None)
    if wanted is None:
        return _File(found, None, None, {}, names)
    if regression:
        return _File(
            found,
            None,
            real_numbers([_number(value) for value in rows[wanted]], wanted, str(path)),
            {},
            names,
        )
    labels, class_names = class_numbers(rows, wanted, str(path))
    return _File(found, labels, None, class_names, names)


def _number(value: Any) -> Any:
    """A header of FASTA holds words."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class _Records:
    """Records of a FASTA file as a table: codes, and label, the last word of a header of several."""

    column_names = (COLUMN, "label")
    features: dict[str, Any] = {"label": None}  # noqa: RUF012 - never changed

    def __init__(self, path: Path) -> None:
        headers: list[str] = []
        parts: list[list[bytes]] = []
        for header, codes in read_fasta(path, GENOME, whole_header=True):
            if codes:
                parts[-1].append(codes)
            else:  # a record begins
                headers.append(header)
                parts.append([])
        if not headers:
            raise InputError(
                f"{path} must begin with '>', as FASTA does, got no record."
            )
        self.names = [header.split()[0] for header in headers]
        self.codes = [b"".join(codes) for codes in parts]
        for name, codes in zip(self.names, self.codes, strict=True):
            if not codes:
                raise InputError(f"{path}: record {name} must hold bases, got none.")
        self.labels = [_last_word(header) for header in headers]

    def __getitem__(self, column: str) -> list[str | None]:
        assert column == "label"
        return self.labels


def _last_word(header: str) -> str | None:
    words = header.split()
    return words[-1] if len(words) > 1 else None


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _source: type[SampleSource] = Sequences
