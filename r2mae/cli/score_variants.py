"""`r2mae score-variants`: how likely the other base of each variant is, to a table or a VCF."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from r2mae.cli.show import show
from r2mae.errors import InputError

NAME = "R2MAE"  # of the column, or of INFO's key
_TABLES = {".tsv": "\t", ".csv": ","}
_ABOUT = "log-likelihood of ALT minus that of REF, site hidden, mean of both strands"


def run(arguments: argparse.Namespace) -> None:
    """Score what is not scored yet, then write all of it."""
    output = Path(arguments.output)
    if output.suffix not in (*_TABLES, ".parquet", ".vcf") or not output.parent.is_dir():
        raise InputError(
            f"--output must be a .tsv, .csv, .parquet or .vcf file in an existing folder, got {str(output)!r}."
        )
    if output.resolve() == Path(arguments.variants).resolve():
        raise InputError(f"--output must not be VARIANTS itself, got {str(output)!r}. Name another.")
    if output.suffix == ".vcf" and not is_vcf(arguments.variants):
        raise InputError("--output must be a .tsv, .csv or .parquet file for VARIANTS that are no VCF, got .vcf.")
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    variants, places = open_variants(loaded, arguments, arguments.variants)
    journal = output.with_name(f".scoring_{output.name}")
    scores = score(loaded, variants, places, journal)
    write_scores(output, variants, scores, places)
    journal.unlink()
    result = {"output": str(output), "variants": len(variants), "skipped": variants.skipped}
    if arguments.json:
        print(json.dumps(result | {"mismatches": variants.mismatches}))
        return
    print(f"{output}: {len(variants):,} variants, column {NAME}: {_ABOUT}")


def open_variants(loaded: Any, arguments: argparse.Namespace, path: str) -> tuple[Any, Any]:
    """(variants of a file, the genome or alignment that they are of); what is left out is said on stderr.

    Raises: InputError for a run that predicts no bases, and for what `read_variants` refuses.
    """
    from r2mae.datasets.variants import read_variants
    from r2mae.recipe.dna import find_reference

    recipe = loaded.recipe
    if recipe.modality != "dna" or recipe.task != "pretrain":
        raise InputError(f"RUN must be a pretraining run on DNA, got {recipe.task} on {recipe.modality}.")
    columns, aliases = (pairs(name, getattr(arguments, name)) for name in ("column", "alias"))
    places = find_reference(recipe, arguments.reference)
    genome = getattr(places, "reference", places)
    options: dict[str, Any] = {"columns": columns, "aliases": aliases, "first": arguments.first}
    variants = read_variants(Path(path), genome, **options, most_wrong=arguments.most_wrong)
    if variants.skipped:
        words = ", ".join(f"{count:,} {why}" for why, count in variants.skipped.items())
        more = f"; {'; '.join(variants.mismatches)}" if variants.mismatches else ""
        print(f"{path}: left out {words}{more}", file=sys.stderr)
    return variants, places


def score(loaded: Any, variants: Any, places: Any, journal: Path | None = None) -> Any:
    """(V,) scores, the computed ones kept in the journal."""
    from r2mae.evaluation.variant_effect import SiteScorer, score_variants, scoring_key
    from r2mae.recipe.dna import codec_of

    length = loaded.recipe.data.length
    scorer = SiteScorer(loaded.model, codec_of(loaded.recipe), places, length)
    key = scoring_key(loaded.manifest, places, variants, length)
    return score_variants(scorer, variants, journal=journal, key=key, progress=show("score", "sites"))


def write_scores(output: Path, variants: Any, scores: Any, places: Any) -> None:
    """The file gets its name when it is whole."""
    unfinished = output.with_name(f".writing_{output.name}")
    if output.suffix == ".vcf":
        _write_vcf(unfinished, variants, scores)
    else:
        _write_table(unfinished, output.suffix, variants, scores, places)
    unfinished.replace(output)


def _write_table(path: Path, kind: str, variants: Any, scores: Any, places: Any) -> None:
    """Contig, position from 1, ref, alt and score, then what else the file had of each variant."""
    import numpy as np
    import pandas as pd

    from r2mae.datasets.bases import decode

    names = np.array([contig.name for contig in places.contigs])
    columns = {"contig": names[variants.contigs], "position": variants.positions + 1}
    columns |= {name: list(decode(getattr(variants, name))) for name in ("ref", "alt")}
    found = pd.DataFrame(columns | {NAME: scores})
    rest = variants.table[[name for name in variants.table.columns if str(name) not in found.columns]]
    found = pd.concat([found, rest], axis=1)
    if kind == ".parquet":
        found.to_parquet(path, index=False)
    else:
        found.to_csv(path, sep=_TABLES[kind], index=False)


def _write_vcf(path: Path, variants: Any, scores: Any) -> None:
    """The VCF with INFO's key added, a number for each ALT, a dot for one without."""
    from r2mae.datasets.dna_files import open_dna

    by_row: dict[int, dict[int, float]] = {}
    for row, allele, value in zip(variants.rows.tolist(), variants.alleles.tolist(), scores.tolist(), strict=True):
        by_row.setdefault(row, {})[allele] = value
    with open_dna(Path(variants.called)) as source, path.open("w") as file:
        number = 0
        for line in source:
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("#CHROM"):
                file.write(f'##INFO=<ID={NAME},Number=A,Type=Float,Description="{_ABOUT}">\n')
            elif text and not text.startswith("#"):
                text = _with_score(text, by_row.get(number))
                number += 1
            file.write(text + "\n")


def _with_score(record: str, found: dict[int, float] | None) -> str:
    if found is None:
        return record
    fields = record.split("\t")
    values = ",".join(f"{found[n]:.6g}" if n in found else "." for n in range(len(fields[4].split(","))))
    fields += ["."] * (8 - len(fields))
    fields[7] = f"{NAME}={values}" if fields[7] in ("", ".") else f"{fields[7]};{NAME}={values}"
    return "\t".join(fields)


def is_vcf(path: str) -> bool:
    """Whether a file's name says so."""
    return path.removesuffix(".gz").removesuffix(".bgz").endswith(".vcf")


def pairs(name: str, words: list[str]) -> dict[str, str]:
    """NAME=VALUE words of an option. Raises: InputError for others."""
    split = [word.partition("=") for word in words]
    strange = next((word for word, (left, _, right) in zip(words, split, strict=True) if not left or not right), None)
    if strange is not None:
        raise InputError(f"--{name} must be two words with = between, got {strange!r}.")
    return {left: right for left, _, right in split}
