"""`r2mae score-variants`: how likely the other base of each variant is, to a table or a VCF."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from r2mae.cli.show import show
from r2mae.errors import InputError

NAME = "R2MAE"  # of the column, or of INFO's key
_PROBED, _CLOSE = 16, 1e-3  # scores of a file that are computed again, and how near they must be
_TABLES = {".tsv": "\t", ".csv": ","}


def run(arguments: argparse.Namespace) -> None:
    """Score what is not scored yet, then write all of it."""
    output = Path(arguments.output)
    if output.suffix not in (*_TABLES, ".parquet", ".vcf") or not output.parent.is_dir():
        raise InputError(
            f"--output must be a .tsv, .csv, .parquet or .vcf file in an existing folder, got {str(output)!r}."
        )
    if output.is_dir():
        raise InputError(f"--output must be a file, got the folder {str(output)!r}. Name a file in it.")
    if output.resolve() == Path(arguments.variants).resolve():
        raise InputError(f"--output must not be VARIANTS itself, got {str(output)!r}. Name another.")
    if output.suffix == ".vcf" and not is_vcf(arguments.variants):
        raise InputError("--output must be a .tsv, .csv or .parquet file for VARIANTS that are no VCF, got .vcf.")
    from r2mae.datasets.building import one_at_a_time
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    variants, places = open_variants(loaded, arguments, arguments.variants)
    journal, about = output.with_name(f".scoring_{output.name}"), _about(loaded.recipe)
    with one_at_a_time(output, wait=False):
        scores = score(loaded, variants, places, journal)
        write_scores(output, variants, scores, places, about)
        journal.unlink()
    unscored = int((scores != scores).sum())
    result = {"output": str(output), "variants": len(variants), "unscored": unscored, "skipped": variants.skipped}
    if arguments.json:
        print(json.dumps(result | {"mismatches": variants.mismatches}))
        return
    print(f"{output}: {len(variants):,} variants, column {NAME}: {about}")
    if unscored:
        print(f"{unscored:,} have no score, since other bases of their k-mer are unknown")


def _about(recipe: Any) -> str:
    strands = "mean of both strands" if recipe.data.both_strands else "forward strand, as trained"
    return f"log-likelihood of ALT minus that of REF, site hidden, {strands}"


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


def score(loaded: Any, variants: Any, places: Any, journal: Path | None = None, *, told: bool = True) -> Any:
    """(V,) scores, the computed ones kept in the journal; told: how far it is."""
    from r2mae.evaluation.variant_effect import SiteScorer, score_variants, scoring_key
    from r2mae.recipe.dna import codec_of

    data = loaded.recipe.data
    scorer = SiteScorer(loaded.model, codec_of(loaded.recipe), places, data.length, both_strands=data.both_strands)
    key = scoring_key(loaded.manifest, places, variants, data.length)
    progress = {"progress": show("score", "sites")} if told else {}
    return score_variants(scorer, variants, journal=journal, key=key, **progress)


def given_scores(loaded: Any, variants: Any, places: Any) -> Any:
    """(V,) scores that a file brings, or None; some of them are computed again.

    Raises: InputError for scores that are not this run's, and for what is no number.
    """
    import numpy as np

    try:
        words = variants.column(NAME)
    except InputError:
        return None
    alleles = [str(word).split(",") for word in words]
    parts = [
        part[number] if number < len(part) else part[0] for part, number in zip(alleles, variants.alleles, strict=True)
    ]
    try:
        scores = np.array([float(part) if part not in ("", ".", "nan", "None") else np.nan for part in parts])
    except ValueError as error:
        raise InputError(f"{variants.called}: {NAME} must hold numbers, got: {error}. Score the file again.") from None
    some = np.unique(np.linspace(0, len(scores) - 1, _PROBED).astype(int))
    found = score(loaded, variants.take(some), places, told=False)
    differs = np.flatnonzero(np.abs(found - scores[some]) > _CLOSE * (1 + np.abs(found)))
    if len(differs) or np.isnan(scores[some]).sum() != np.isnan(found).sum():
        row = some[differs[0]] if len(differs) else some[0]
        raise InputError(
            f"{variants.called}: {NAME} must be this run's scores, got {scores[row]:.4f} where it gives "
            f"{found[differs[0]] if len(differs) else found[0]:.4f}. Score the file with this run, or drop the column."
        )
    return scores


def write_scores(output: Path, variants: Any, scores: Any, places: Any, about: str) -> None:
    """The file gets its name when it is whole."""
    unfinished = output.with_name(f".writing_{output.name}")
    if output.suffix == ".vcf":
        _write_vcf(unfinished, variants, scores, about)
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
        quoting = csv.QUOTE_MINIMAL if Path(variants.called.removesuffix(".gz")).suffix == ".csv" else csv.QUOTE_NONE
        found.to_csv(path, sep=_TABLES[kind], index=False, quoting=quoting if kind == ".tsv" else csv.QUOTE_MINIMAL)


def _write_vcf(path: Path, variants: Any, scores: Any, about: str) -> None:
    """The VCF with INFO's key, a number for each ALT, a dot for one without; one that it had before is replaced."""
    from r2mae.datasets.dna_files import open_dna

    by_row: dict[int, dict[int, float]] = {}
    for row, allele, value in zip(variants.rows.tolist(), variants.alleles.tolist(), scores.tolist(), strict=True):
        by_row.setdefault(row, {})[allele] = value
    with open_dna(Path(variants.called)) as source, path.open("w", errors="surrogateescape") as file:
        number = -1  # of a record, as `read_variants` counts them; there are none before the names of the columns
        for line in source:
            text = line.decode(errors="surrogateescape").rstrip("\r\n")
            if number < 0 and text.startswith(f"##INFO=<ID={NAME},"):
                continue
            if number < 0 and text.startswith("#CHROM"):
                file.write(f'##INFO=<ID={NAME},Number=A,Type=Float,Description="{about}">\n')
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
    values = ",".join(f"{found[n]:.6g}" if n in found and found[n] == found[n] else "." for n in range(number))
    fields += ["."] * (8 - len(fields))
    others = [word for word in fields[7].split(";") if word not in ("", ".") and not word.startswith(f"{NAME}=")]
    fields[7] = ";".join([*others, f"{NAME}={values}"])
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
