"""Write variants with their scores as a table or VCF, plain or compressed as bgzip does."""

import csv
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_file
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import decode
from r2mae.modalities.dna.genome.big_wig import check_big_wig, write_big_wig
from r2mae.modalities.dna.genome.files import open_dna
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.files import SCORE, is_zipped, kind_of
from r2mae.modalities.dna.variants.saturation import mean_scores
from r2mae.modalities.dna.variants.variants import Variants

_KINDS = (".tsv", ".csv", ".parquet", ".vcf", ".bw")
_BLOCK = 65_280  # uncompressed bytes of a BGZF block, as bgzip has them
_HEAD = struct.Struct("<4BI2BH2BHH")
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def check_output(output: Path, source: Path | None) -> None:
    """Raise InputError unless scores of the variants in source can be written to output.

    source: None for every variant of regions.
    """
    kind = kind_of(output)
    is_format = kind in _KINDS and not (
        kind in (".parquet", ".bw") and is_zipped(output)
    )
    if not is_format or not output.parent.is_dir():
        raise InputError(
            "--output must be a .tsv, .csv or .vcf file, each also with .gz, or a .parquet "
            f"file, in an existing folder, got {str(output)!r}."
        )
    if output.is_dir():
        raise InputError(
            f"--output must be a file, got the folder {str(output)!r}. Name a file in it."
        )
    if kind == ".bw":
        check_big_wig(output)
        if source is not None:
            raise InputError("--output must be a table or VCF without --all, got .bw.")
    if source is None:
        if kind == ".vcf":
            raise InputError("--output must be a table or .bw with --all, got .vcf.")
        return
    if os.path.realpath(output) == os.path.realpath(source):
        raise InputError(
            f"--output must not be VARIANTS itself, got {str(output)!r}. Name another."
        )
    if kind == ".vcf" and kind_of(source) != ".vcf":
        raise InputError(
            "--output must be a .tsv, .csv or .parquet file for VARIANTS other than a VCF, "
            "got .vcf."
        )


def write_scores(
    output: Path,
    variants: Variants,
    scores: npt.NDArray[np.float64],
    genome: GenomeStore,
    about: str,
    long_scores: npt.NDArray[np.float64] | None = None,
) -> None:
    """Write scores (V,), nan for none, to a file that appears only when it is complete.

    long_scores: (L,) of variants.longer, if any.
    about: description of the score, for a VCF's header.
    """
    longer = np.zeros(0) if long_scores is None else long_scores
    with atomic_file(output) as unfinished:
        if kind_of(output) == ".bw":
            write_big_wig(unfinished, genome, *mean_scores(variants, scores))
            return
        if kind_of(output) == ".parquet":
            _table(variants, scores, longer, genome).to_parquet(unfinished, index=False)
            return
        with unfinished.open("wb") as raw:
            file: Any = raw
            if is_zipped(output):
                file = io.BufferedWriter(_Bgzip(raw), _BLOCK)  # type: ignore[type-var]
            text = io.TextIOWrapper(
                file, encoding="utf-8", errors="surrogateescape", newline=""
            )
            if kind_of(output) == ".vcf":
                _write_vcf(text, variants, scores, longer, about)
            elif kind_of(output) == ".csv":
                _table(variants, scores, longer, genome).to_csv(text, index=False)
            else:  # unquoted cells: tools that read .tsv do not expect quotes
                table = _table(variants, scores, longer, genome)
                table = table.replace(r"[\t\r\n]", " ", regex=True)
                table.to_csv(text, sep="\t", index=False, quoting=csv.QUOTE_NONE)
            text.close()


def _table(
    variants: Variants,
    scores: npt.NDArray[np.float64],
    long_scores: npt.NDArray[np.float64],
    genome: GenomeStore,
) -> Any:
    """pandas: contig, 1-based position, ref, alt, score, then the file's other columns."""
    import pandas as pd

    names = np.array([contig.name for contig in genome.contigs])
    longer = variants.longer
    contigs = np.append(variants.contigs, longer.contigs).astype(np.int64)
    positions = np.append(variants.positions, longer.positions).astype(np.int64)
    columns: dict[str, Any] = {"contig": names[contigs], "position": positions + 1}
    for name in ("ref", "alt"):
        codes = getattr(variants, name)
        columns[name] = [*decode(codes), *getattr(longer, f"{name}s")]
    table = pd.DataFrame(columns | {SCORE: np.append(scores, long_scores)})
    replaced = {SCORE, *variants.names.values()}
    kept = [name for name in variants.table.columns if name not in replaced]
    rest = variants.table[kept].reset_index(drop=True)
    if len(longer):
        rest = pd.concat([rest, variants.records[kept].iloc[longer.rows]])
        rest = rest.reset_index(drop=True)
    # A column of the same name that was not read as such, e.g. ref beside ref_hg38.
    renamed = {name: f"{name}_given" for name in rest.columns if name in table.columns}
    table = pd.concat([table, rest.rename(columns=renamed)], axis=1)
    if not len(longer):
        return table
    rows = np.append(variants.rows, longer.rows)
    alleles = np.append(variants.alleles, longer.alleles)
    return table.iloc[np.lexsort([alleles, rows])].reset_index(drop=True)


def _write_vcf(
    file: Any,
    variants: Variants,
    scores: npt.NDArray[np.float64],
    long_scores: npt.NDArray[np.float64],
    about: str,
) -> None:
    """The VCF with the score's INFO key, replaced where the file has one.

    A number for each ALT, "." for those without a score.
    """
    by_row: dict[int, dict[int, float]] = {}
    longer = variants.longer
    rows = [*variants.rows.tolist(), *longer.rows]
    alleles = [*variants.alleles.tolist(), *longer.alleles]
    values = [*scores.tolist(), *long_scores.tolist()]
    for row, allele, value in zip(rows, alleles, values, strict=True):
        by_row.setdefault(row, {})[allele] = value
    with open_dna(Path(variants.called)) as source:
        number = -1  # of the record, as in `read_variants`; -1 within the header
        for line in source:
            text = line.decode(errors="surrogateescape").rstrip("\r\n")
            if number < 0 and text.startswith(f"##INFO=<ID={SCORE},"):
                continue
            if number < 0 and text.startswith("#CHROM"):
                file.write(
                    f'##INFO=<ID={SCORE},Number=A,Type=Float,Description="{about}">\n'
                )
                number = 0
            elif number >= 0 and text.strip():
                text = _with_score(text, by_row.get(number))
                number += 1
            file.write(text + "\n")


def _with_score(record: str, scores: dict[int, float] | None) -> str:
    """A line with scores {index of the ALT: score} in its INFO; unchanged without any."""
    if scores is None:
        return record
    fields = record.split("\t")
    fields += ["."] * (8 - len(fields))
    values = []
    for allele in range(len(fields[4].split(","))):
        value = scores.get(allele, math.nan)
        values.append("." if math.isnan(value) else f"{value:.6g}")
    others = [
        entry
        for entry in fields[7].split(";")
        if entry not in ("", ".") and not entry.startswith(f"{SCORE}=")
    ]
    fields[7] = ";".join([*others, f"{SCORE}={','.join(values)}"])
    return "\t".join(fields)


class _Bgzip(io.RawIOBase):
    """Compress what is written in BGZF blocks, so that tabix and bcftools can index it.

    Source: SAMv1, section 4.1 (BGZF).
    """

    def __init__(self, file: Any) -> None:
        self.file, self.waiting = file, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        while len(self.waiting) >= _BLOCK:
            self._write_block(bytes(self.waiting[:_BLOCK]))
            del self.waiting[:_BLOCK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            if self.waiting:
                self._write_block(bytes(self.waiting))
            self.file.write(_END)
            self.file.close()
        super().close()

    def _write_block(self, data: bytes) -> None:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
        size = _HEAD.size + len(packed) + 8
        head = _HEAD.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1)
        tail = struct.pack("<2I", zlib.crc32(data), len(data))
        self.file.write(head)
        self.file.write(packed)
        self.file.write(tail)
