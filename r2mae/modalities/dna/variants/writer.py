"""Scores of variants beside what their file says of them: tables, or the VCF itself; zipped as bgzip does."""

import csv
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from r2mae.data.atomic import atomic_file
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import decode
from r2mae.modalities.dna.genome.files import open_dna
from r2mae.modalities.dna.genome.store import GenomeStore
from r2mae.modalities.dna.variants.files import SCORE, is_zipped, kind_of
from r2mae.modalities.dna.variants.variants import Variants

_KINDS = (".tsv", ".csv", ".parquet", ".vcf")
_BLOCK = 65_280  # bytes that bgzip zips together
_HEAD = struct.Struct("<4BI2BH2BHH")
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def check_output(output: Path, source: Path) -> None:
    """Raise InputError unless scores of the variants of a file can be written to output."""
    kind = kind_of(output)
    if (
        kind not in _KINDS
        or (kind == ".parquet" and is_zipped(output))
        or not output.parent.is_dir()
    ):
        raise InputError(
            "--output must be a .tsv, .csv or .vcf file, each also with .gz, or a .parquet file, in an existing "
            f"folder, got {str(output)!r}."
        )
    if output.is_dir():
        raise InputError(
            f"--output must be a file, got the folder {str(output)!r}. Name a file in it."
        )
    if output.resolve() == source.resolve():
        raise InputError(
            f"--output must not be VARIANTS itself, got {str(output)!r}. Name another."
        )
    if kind == ".vcf" and kind_of(source) != ".vcf":
        raise InputError(
            "--output must be a .tsv, .csv or .parquet file for VARIANTS that are no VCF, got .vcf."
        )


def write_scores(
    output: Path,
    variants: Variants,
    scores: npt.NDArray[np.float64],
    genome: GenomeStore,
    about: str,
) -> None:
    """Scores (V,), nan for none, in a file that gets its name when it is whole. about: what a score is, in words."""
    with atomic_file(output) as unfinished:
        if kind_of(output) == ".parquet":
            _table(variants, scores, genome).to_parquet(unfinished, index=False)
            return
        with unfinished.open("wb") as raw:
            file: Any = (
                io.BufferedWriter(_Bgzip(raw), _BLOCK) if is_zipped(output) else raw
            )  # type: ignore[type-var]
            text = io.TextIOWrapper(
                file, encoding="utf-8", errors="surrogateescape", newline=""
            )
            if kind_of(output) == ".vcf":
                _write_vcf(text, variants, scores, about)
            elif kind_of(output) == ".csv":
                _table(variants, scores, genome).to_csv(text, index=False)
            else:  # cells as they stand there, without quotes, which nothing reads in a .tsv
                found = _table(variants, scores, genome).replace(
                    r"[\t\r\n]", " ", regex=True
                )
                found.to_csv(text, sep="\t", index=False, quoting=csv.QUOTE_NONE)
            text.close()


def _table(
    variants: Variants, scores: npt.NDArray[np.float64], genome: GenomeStore
) -> Any:
    """pandas: contig, position from 1, ref, alt and score, then what else the file had of each variant."""
    import pandas as pd

    names = np.array([contig.name for contig in genome.contigs])
    columns: dict[str, Any] = {
        "contig": names[variants.contigs],
        "position": variants.positions + 1,
    }
    columns |= {name: list(decode(getattr(variants, name))) for name in ("ref", "alt")}
    found = pd.DataFrame(columns | {SCORE: scores})
    rest = variants.table[
        [
            name
            for name in variants.table.columns
            if name not in {SCORE, *variants.names.values()}
        ]
    ]
    given = {
        name: f"{name}_given" for name in rest.columns if name in found.columns
    }  # which say something else
    return pd.concat([found, rest.rename(columns=given)], axis=1)


def _write_vcf(
    file: Any, variants: Variants, scores: npt.NDArray[np.float64], about: str
) -> None:
    """The VCF with INFO's key, a number for each ALT, a dot for one without; one that it had before is replaced."""
    by_row: dict[int, dict[int, float]] = {}
    for row, allele, value in zip(
        variants.rows.tolist(), variants.alleles.tolist(), scores.tolist(), strict=True
    ):
        by_row.setdefault(row, {})[allele] = value
    with open_dna(Path(variants.called)) as source:
        number = -1  # of a record, as `read_variants` counts them; there are none before the names of the columns
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


def _with_score(record: str, found: dict[int, float] | None) -> str:
    if found is None:
        return record
    fields = record.split("\t")
    number = len(fields[4].split(","))
    values = ",".join(
        f"{found[n]:.6g}" if n in found and found[n] == found[n] else "."
        for n in range(number)
    )
    fields += ["."] * (8 - len(fields))
    others = [
        word
        for word in fields[7].split(";")
        if word not in ("", ".") and not word.startswith(f"{SCORE}=")
    ]
    fields[7] = ";".join([*others, f"{SCORE}={values}"])
    return "\t".join(fields)


class _Bgzip(io.RawIOBase):
    """Zips what is written to a file in blocks of their own, so that tabix and bcftools can index it.

    Source: SAMv1, section 4.1 (BGZF).
    """

    def __init__(self, file: Any) -> None:
        self.file, self.waiting = file, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        while len(self.waiting) >= _BLOCK:
            self._zip(bytes(self.waiting[:_BLOCK]))
            del self.waiting[:_BLOCK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            if self.waiting:
                self._zip(bytes(self.waiting))
            self.file.write(_END)
            self.file.close()
        super().close()

    def _zip(self, data: bytes) -> None:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
        size = _HEAD.size + len(packed) + 8
        self.file.write(_HEAD.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1))
        self.file.write(packed + struct.pack("<2I", zlib.crc32(data), len(data)))
