"""Read single-nucleotide variants from VCF or tables, checked against the reference genome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.mapped import Integers
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GENOME, PLAIN, Codes, decode
from r2mae.modalities.dna.genome.interval_sets import count_up
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.files import (
    as_strings,
    find_columns,
    kind_of,
    read_records,
)
from r2mae.modalities.dna.variants.mismatches import keep_matching
from r2mae.modalities.dna.variants.variants import LongVariants, Variants

_MAX_POSITION = 1e12


@dataclass(frozen=True)
class _Alleles:
    """A alleles of the file, one for each ALT of a record."""

    rows: Integers  # (A,)
    alleles: Integers  # (A,)
    ref: Any  # (A,) pandas, upper-case letters
    alt: Any  # (A,)


def read_variants(
    path: Path,
    genome: GenomeStore,
    *,
    columns: Mapping[str, str] | None = None,
    first: int = 1,
    aliases: Mapping[str, str] | None = None,
    most_wrong: float = 0.01,
    longest: int = 1,
) -> Variants:
    """Variants of a VCF, TSV, CSV (each also gzipped) or parquet.

    Left out and counted: symbolic alleles, alleles over `longest`, letters other than
    ACGT, records without a position; and, up to a share of most_wrong, variants on missing
    contigs or whose REF differs from the genome.

    Args:
        path: file of variants.
        genome: reference of the variants.
        columns: a table's column of "contig", "position", "ref", "alt", where unusual.
        first: position of a contig's first base in tables, 0 or 1; a VCF has 1.
        aliases: {contig in the file: in the genome}; a missing "chr" needs none.
        most_wrong: largest share of variants on missing contigs, or whose REF differs.
        longest: bases of the longest allele; 1 leaves out indels.

    Raises: InputError for damaged files, missing columns, no variant, larger shares.
    """
    table, aliases = read_records(path), dict(aliases or {})
    names = find_columns(path, table, dict(columns or {}), len(genome.contigs) == 1)
    if kind_of(path) == ".vcf":
        first = 1
    variants = _read_single(path, table, names, first)
    if "contig" in names:
        cells = as_strings(variants.table[names["contig"]]).to_numpy()
        contigs = _contigs(variants, cells, genome, aliases, most_wrong)
        variants = replace(variants, contigs=contigs)
    if longest > 1:
        longer, num_wrong = _read_longer(
            path, table, names, first, genome, aliases, longest
        )
        skipped = dict(variants.skipped)
        skipped["indel"] -= len(longer) + num_wrong
        skipped["mismatch"] = num_wrong
        variants = replace(variants, skipped=skipped, records=table, longer=longer)
    return keep_matching(variants, genome, most_wrong)


def _read_single(path: Path, table: Any, names: dict[str, str], first: int) -> Variants:
    """The single-nucleotide variants of a table, all of them on contig 0."""
    positions, is_placed = _positions(path, table[names["position"]], first)
    listed = _split_alleles(path, table, names)
    skipped, keep = _keep_single(listed.ref, listed.alt, is_placed[listed.rows])
    rows = listed.rows[keep]
    return Variants(
        called=str(path),
        contigs=np.zeros(len(rows), dtype=np.int64),
        positions=positions[rows],
        ref=_codes(listed.ref.iloc[keep]),
        alt=_codes(listed.alt.iloc[keep]),
        rows=rows,
        alleles=listed.alleles[keep],
        table=table.iloc[rows],
        names=names,
        skipped=skipped,
        mismatches=[],
    )


def _read_longer(
    path: Path,
    table: Any,
    names: dict[str, str],
    first: int,
    genome: GenomeStore,
    aliases: dict[str, str],
    longest: int,
) -> tuple[LongVariants, int]:
    """(variants with an allele of several bases, how many differ from the genome)."""
    positions, is_placed = _positions(path, table[names["position"]], first)
    listed, longer, num_wrong = _split_alleles(path, table, names), LongVariants(), 0
    cells = None
    if "contig" in names:
        cells = as_strings(table[names["contig"]]).to_numpy()
    for row, allele, ref, alt in zip(
        listed.rows.tolist(),
        listed.alleles.tolist(),
        listed.ref,
        listed.alt,
        strict=True,
    ):
        if not is_placed[row] or not _is_long(ref, alt, longest):
            continue
        number = 0
        if cells is not None:
            number = genome.find(aliases.get(cells[row], cells[row]))
        position = int(positions[row])
        if number < 0 or not _has_bases(genome, number, position, ref):
            num_wrong += 1
            continue
        longer.append(number, position, ref, alt, row, allele)
    return longer, num_wrong


def _is_long(ref: str, alt: str, longest: int) -> bool:
    """Whether alleles differ, are A, C, G and T, and one of them has several bases."""
    is_plain = bool(ref and alt) and not set(ref + alt) - set("ACGT")
    return is_plain and ref != alt and 1 < max(len(ref), len(alt)) <= longest


def _has_bases(genome: GenomeStore, number: int, position: int, ref: str) -> bool:
    contig = genome.contigs[number]
    if position + len(ref) > contig.length:
        return False
    codes = genome.fetch(contig.name, position, position + len(ref))
    return decode(codes & np.uint8(PLAIN)) == ref


def _split_alleles(path: Path, table: Any, names: dict[str, str]) -> _Alleles:
    """A row for each ALT of each record."""
    alts = as_strings(table[names["alt"]]).str.upper().str.split(",")
    if len(alts) and alts.iloc[-1] == [""]:
        raise InputError(
            f"{path}: the last record must have an ALT, got none. "
            "The file may be truncated: download it again."
        )
    counts = alts.str.len().to_numpy(dtype=np.int64)
    rows = np.repeat(np.arange(len(table)), counts)
    refs = as_strings(table[names["ref"]]).str.upper()
    return _Alleles(
        rows=rows,
        alleles=count_up(counts),
        ref=refs.iloc[rows].reset_index(drop=True),
        alt=alts.explode().reset_index(drop=True),
    )


def _positions(
    path: Path, column: Any, first: int
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """(0-based positions (R,), whether the record has one (R,))."""
    import pandas as pd

    cells = as_strings(column)
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(
        dtype=np.float64, copy=True
    )
    numbers[~np.isfinite(numbers) | (np.abs(numbers) > _MAX_POSITION)] = np.nan
    is_filled = (cells.str.strip() != "").to_numpy()
    is_number = ~np.isnan(numbers)
    is_wrong = np.where(is_number, numbers != np.floor(numbers), is_filled)
    if is_wrong.any():
        row = int(np.flatnonzero(is_wrong)[0])
        raise InputError(
            f"{path}: record {row + 1:,} must have an integer position, "
            f"got {column.iloc[row]!r}."
        )
    is_placed = numbers >= first
    return np.where(is_placed, numbers - first, 0).astype(np.int64), is_placed


def _keep_single(
    ref: Any, alt: Any, is_placed: npt.NDArray[np.bool_]
) -> tuple[dict[str, int], Integers]:
    """(number of alleles left out, by reason; indices of the single-nucleotide ones)."""

    def flags(column: Any) -> npt.NDArray[np.bool_]:
        return np.asarray(column.to_numpy(dtype=np.bool_))

    bases = list("ACGT")
    is_symbolic = flags(alt.str.contains(r"[<>\[\]*.]", regex=True) | (alt == ""))
    is_single = flags((ref.str.len() == 1) & (alt.str.len() == 1)) & ~is_symbolic
    is_acgt = flags(ref.isin(bases) & alt.isin(bases) & (ref != alt)) & is_single
    reasons = {
        "symbolic": is_symbolic,
        "indel": ~is_symbolic & ~is_single,
        "letter": is_single & ~is_acgt,
        "position": is_acgt & ~is_placed,
    }
    counts = {why: int(is_skipped.sum()) for why, is_skipped in reasons.items()}
    return counts, np.flatnonzero(is_acgt & is_placed)


def _codes(letters: Any) -> Codes:
    return np.frombuffer("".join(letters).encode().translate(GENOME), dtype=np.uint8)


def _contigs(
    variants: Variants,
    cells: npt.NDArray[Any],
    genome: GenomeStore,
    aliases: dict[str, str],
    most_wrong: float,
) -> Integers:
    """(V,) indices of contigs by their names (V,), -1 for those missing from the genome."""
    import pandas as pd

    codes, names = pd.factorize(cells)
    numbers = [genome.find(aliases.get(name, name)) for name in names.tolist()]
    contigs: Integers = np.array([*numbers, 0], dtype=np.int64)[codes]
    missing = np.flatnonzero(contigs < 0)
    if len(missing) > most_wrong * len(contigs):
        name = names[codes[missing[0]]]
        raise InputError(
            f"{variants.called}: contigs must be those of {genome.called}, got others "
            f"for {len(missing):,} of {len(contigs):,} variants, first {name!r} in record "
            f"{variants.rows[missing[0]] + 1:,}. {genome.near(name)} "
            f"To rename a contig: --alias {name}=NAME."
        )
    return contigs
