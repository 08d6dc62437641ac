"""Variants of single bases from VCF or tables, checked against the genome that they are of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import Integers
from r2mae.errors import InputError, did_you_mean
from r2mae.modalities.dna.genome.bases import GENOME, LETTERS, PLAIN, Codes, N
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.files import (
    find_columns,
    kind_of,
    read_records,
    words_of,
)

_SHOWN = 5  # mismatches that are named
_MOST = 1e12  # of a position


@dataclass(frozen=True)
class Variants:
    """V single-base variants, in the order of their file."""

    called: str
    contigs: Integers  # (V,) numbers of the genome's contigs
    positions: Integers  # (V,) from 0 within the contig
    ref: Codes  # (V,) 0-3
    alt: Codes  # (V,) 0-3
    rows: Integers  # (V,) which record of the file, from 0
    alleles: Integers  # (V,) which of the record's ALTs, from 0
    table: Any  # (V rows) pandas: all columns of the file, as they stand there
    names: dict[str, str]  # what the file calls contig, position, ref and alt
    skipped: dict[str, int]  # alleles left out, by why
    mismatches: list[str]  # the first five whose REF is not the genome's

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Integers) -> "Variants":
        """Some of them."""
        some = {
            name: getattr(self, name)[rows]
            for name in ("contigs", "positions", "ref", "alt", "rows", "alleles")
        }
        return replace(self, **some, table=self.table.iloc[rows].reset_index(drop=True))

    def column(self, name: str) -> npt.NDArray[Any]:
        """(V,) values of a column, or of a key of a VCF's INFO ("" where a record lacks it).

        Raises: InputError naming the columns there are.
        """
        if name in self.table.columns:
            return np.asarray(self.table[name])
        keys: set[str] = set()
        if "INFO" in self.table.columns:
            found = self.table["INFO"].str.extract(
                rf"(?:^|;){re.escape(name)}=([^;]*)"
            )[0]
            if found.notna().any():
                return np.asarray(found.fillna(""))
            keys = set(
                re.findall(r"(?:^|;)([^=;]+)=", ";".join(self.table["INFO"].head(100)))
            )
        known = [*self.table.columns, *sorted(keys)]
        raise InputError(
            f"{self.called} must have a column {name!r}, got none so named. {did_you_mean(name, known)}"
        )


def read_variants(
    path: Path,
    genome: GenomeStore,
    *,
    columns: Mapping[str, str] | None = None,
    first: int = 1,
    aliases: Mapping[str, str] | None = None,
    most_wrong: float = 0.01,
) -> Variants:
    """Single-base variants of a VCF, TSV, CSV (zipped or not) or parquet file.

    Left out and counted: symbolic alleles, longer ones, letters other than ACGT, records without a position, and, up to
    a share of most_wrong, contigs that the genome lacks and REFs that differ from it.

    Args:
        path: of the file.
        genome: that the variants are of.
        columns: what a table calls contig, position, ref and alt, where not as usual. A table of a genome with one
            contig needs no column of it.
        first: the number of a contig's first base in tables, 0 or 1.
        aliases: the genome's name of a contig by the file's. With or without "chr" a contig is found by itself.
        most_wrong: share of single-base variants that may be misplaced.

    Raises: InputError for damaged files, missing columns, no variant left, and more than most_wrong misplaced.
    """
    table = read_records(path)
    names = find_columns(path, table, dict(columns or {}), len(genome.contigs) == 1)
    first = 1 if kind_of(path) == ".vcf" else first
    positions, is_placed = _positions(path, table[names["position"]], first)
    rows, alleles, ref, alt = _alleles(path, table, names)
    skipped, keep = _sort_out(ref, alt, is_placed[rows])
    rows, alleles = rows[keep], alleles[keep]
    ref_codes, alt_codes = _codes(ref.iloc[keep]), _codes(alt.iloc[keep])
    column = table[names["contig"]] if "contig" in names else None
    contigs = _contigs(path, column, rows, genome, dict(aliases or {}), most_wrong)
    positions = positions[rows]
    fits, mismatches = _check_ref(
        path, genome, contigs, positions, ref_codes, alt_codes, most_wrong
    )
    skipped = _count_skipped(skipped, contigs, fits)
    if not fits.any():
        raise _no_variant(path, skipped)
    return Variants(
        str(path),
        contigs[fits],
        positions[fits],
        ref_codes[fits],
        alt_codes[fits],
        rows[fits],
        alleles[fits],
        table.iloc[rows[fits]].reset_index(drop=True),
        names,
        skipped,
        mismatches,
    )


def _count_skipped(
    skipped: dict[str, int], contigs: Integers, fits: npt.NDArray[np.bool_]
) -> dict[str, int]:
    """How many variants are left out, by reason, with misplaced ones; reasons without any are left out."""
    is_placed = contigs >= 0
    misplaced = {"contig": (~is_placed).sum(), "mismatch": (~fits & is_placed).sum()}
    counts = skipped | {reason: int(count) for reason, count in misplaced.items()}
    return {reason: count for reason, count in counts.items() if count}


def _no_variant(path: Path, skipped: dict[str, int]) -> InputError:
    reasons = [f"{count:,} {reason}" for reason, count in skipped.items()]
    return InputError(
        f"{path} must hold variants of single bases, got none: {', '.join(reasons) or 'no record'}."
    )


def _alleles(
    path: Path, table: Any, names: Mapping[str, str]
) -> tuple[Integers, Integers, Any, Any]:
    """A variant for each ALT of each record: (rows (V,) of the table, number (V,) of the ALT, REF, ALT)."""
    alts = words_of(table[names["alt"]]).str.upper().str.split(",")
    if len(alts) and alts.iloc[-1] == [""]:
        raise InputError(
            f"{path}: the last record must have an ALT, got none. The file may be cut off: fetch it again."
        )
    counts = alts.str.len().to_numpy(dtype=np.int64)
    rows = np.repeat(np.arange(len(table)), counts)
    alleles = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    ref = words_of(table[names["ref"]]).str.upper().iloc[rows].reset_index(drop=True)
    return rows, alleles, ref, alts.explode().reset_index(drop=True)


def _positions(
    path: Path, column: Any, first: int
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """(positions from 0 (R,), whether there is one (R,))."""
    import pandas as pd

    words = words_of(column)
    numbers = pd.to_numeric(words, errors="coerce").to_numpy(
        dtype=np.float64, copy=True
    )
    is_given = (words.str.strip() != "").to_numpy()
    numbers[~np.isfinite(numbers) | (np.abs(numbers) > _MOST)] = np.nan
    strange = (np.isnan(numbers) & is_given) | (
        numbers != np.floor(numbers)
    ) & ~np.isnan(numbers)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise InputError(
            f"{path}: record {row + 1:,} must have a whole number as position, got {column.iloc[row]!r}."
        )
    is_placed = numbers >= first
    return np.where(is_placed, numbers - first, 0).astype(np.int64), is_placed


def _sort_out(
    ref: Any, alt: Any, is_placed: npt.NDArray[np.bool_]
) -> tuple[dict[str, int], Integers]:
    """(alleles left out, by why; which alleles are of a single base)."""
    is_symbolic = (alt.str.contains(r"[<>\[\]*.]", regex=True) | (alt == "")).to_numpy(
        dtype=np.bool_
    )
    is_long = ~is_symbolic & ((ref.str.len() != 1) | (alt.str.len() != 1)).to_numpy(
        dtype=np.bool_
    )
    is_single = ~is_symbolic & ~is_long
    is_plain = is_single & (
        ref.isin(list("ACGT")) & alt.isin(list("ACGT")) & (ref != alt)
    ).to_numpy(dtype=np.bool_)
    skipped = {
        "symbolic": is_symbolic,
        "indel": is_long,
        "letter": is_single & ~is_plain,
    }
    skipped |= {"position": is_plain & ~is_placed}
    return {why: int(flags.sum()) for why, flags in skipped.items()}, np.flatnonzero(
        is_plain & is_placed
    )


def _codes(letters: Any) -> Codes:
    return np.frombuffer("".join(letters).encode().translate(GENOME), dtype=np.uint8)


def _contigs(
    path: Path,
    column: Any,
    rows: Integers,
    genome: GenomeStore,
    aliases: dict[str, str],
    most_wrong: float,
) -> Integers:
    """(V,) numbers of contigs, -1 for those that the genome lacks; 0 where the table has no column of them."""
    import pandas as pd

    if column is None:
        return np.zeros(len(rows), dtype=np.int64)
    codes, names = pd.factorize(words_of(column).to_numpy()[rows])
    numbers = [_number(genome, aliases.get(name, name)) for name in names.tolist()]
    found: Integers = np.array([*numbers, 0], dtype=np.int64)[codes]
    wrong = np.flatnonzero(found < 0)
    if len(wrong) > most_wrong * len(rows):
        name = names[codes[wrong[0]]]
        raise InputError(
            f"{path}: contigs must be those of {genome.called}, got {len(wrong):,} of {len(rows):,} variants "
            f"elsewhere, first {name!r} in record {rows[wrong[0]] + 1:,}. {genome.near(name)} "
            f"Where names differ: --alias {name}=NAME."
        )
    return found


def _number(genome: GenomeStore, name: str) -> int:
    """Of a contig as it is called, or with or without "chr"; -1 for one that the genome lacks."""
    bare = name.removeprefix("chr")
    others = (f"chr{name}", bare, *(("MT", "chrM", "M") if bare in ("M", "MT") else ()))
    return next(
        (genome.numbers[word] for word in (name, *others) if word in genome.numbers), -1
    )


def _check_ref(
    path: Path,
    genome: GenomeStore,
    contigs: Integers,
    positions: Integers,
    ref: Codes,
    alt: Codes,
    most_wrong: float,
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """(which variants have the genome's base as REF (V,), descriptions of the first five that do not).

    Raises: InputError where a larger share than most_wrong differs.
    """
    is_placed = contigs >= 0
    genome_bases = _bases_at(genome, contigs, positions)
    fits = is_placed & (genome_bases == ref)
    wrong = np.flatnonzero(~fits & is_placed)
    examples = []
    for row in wrong[:_SHOWN]:
        contig, position = genome.contigs[int(contigs[row])], int(positions[row])
        is_inside = position < contig.length
        base = LETTERS[genome_bases[row]] if is_inside else "no base"
        change = f"{LETTERS[ref[row]]}>{LETTERS[alt[row]]}"
        examples.append(
            f"{contig.name}:{position + 1} {change} where the genome has {base}"
        )
    if len(wrong) > most_wrong * is_placed.sum():
        hint = _mismatch_hint(genome, contigs, positions, ref, examples)
        count = f"{len(wrong):,} of {int(is_placed.sum()):,} that differ"
        raise InputError(
            f"{path}: REF must be the base of {genome.called}, got {count}: "
            f"{'; '.join(examples)}. {hint}"
        )
    return fits, examples


def _bases_at(
    genome: GenomeStore, contigs: Integers, positions: Integers, shift: int = 0
) -> Codes:
    """(V,) the genome's bases at shifted positions; N for contigs that it lacks."""
    placed = np.flatnonzero(contigs >= 0)
    bases = np.full(len(contigs), N, dtype=np.uint8)
    letters = genome.take_padded(contigs[placed], positions[placed] + shift, 1)
    bases[placed] = letters[:, 0] & PLAIN
    return bases


def _mismatch_hint(
    genome: GenomeStore,
    contigs: Integers,
    positions: Integers,
    ref: Codes,
    examples: list[str],
) -> str:
    """Why most REFs differ: another genome, one masked by Ns, or positions that are off by one."""
    is_placed = contigs >= 0

    def agreement(shift: int) -> float:
        bases = _bases_at(genome, contigs, positions, shift)
        return float((bases[is_placed] == ref[is_placed]).mean())

    hint = "Use the genome that the variants were called on."
    masked = [example for example in examples if example.endswith(f" {LETTERS[N]}")]
    if 2 * len(masked) > len(examples):
        hint = "Most of them are N there: use a genome that is not masked by Ns."
    least = max(0.9, agreement(0))
    for shift, direction, cause in (
        (1, "on", "count from 0"),
        (-1, "back", "be one too high"),
    ):
        share = agreement(shift)
        if share > least:
            hint = (
                f"One base {direction}, {share:.1%} agree: positions seem to {cause}."
            )
    return hint
