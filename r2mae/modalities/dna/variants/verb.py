"""`r2mae score-variants`: how likely the other base of each variant is, to a table or a VCF."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities.dna.variants.files import SCORE
from r2mae.options import parse_pairs, share
from r2mae.progress import progress_bar
from r2mae.wing import LoadedRun

_PROBED, _CLOSE = (
    16,
    1e-3,
)  # scores of a file that are computed again, and how near they must be


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `score-variants`."""
    variants = ".vcf, .tsv, .csv, each also with .gz, or .parquet"
    parser.add_argument("variants", metavar="VARIANTS", help=variants)
    output = ".tsv, .csv or .vcf, each also with .gz (bgzip), or .parquet"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    add_variant_options(parser)


def add_variant_options(parser: Any) -> None:
    """How variants are read."""
    reference = "genome that variants are of, or an alignment for runs on alignments; default: the run's own"
    parser.add_argument("--reference", metavar="FASTA", help=reference)
    column = "what a table calls contig, position, ref or alt, e.g. position=pos_hg38"
    parser.add_argument(
        "--column", action="append", default=[], metavar="WHAT=NAME", help=column
    )
    alias = "what files call a contig = what the reference does, e.g. chrM=NC_012920.1"
    parser.add_argument(
        "--alias", action="append", default=[], metavar="NAME=CONTIG", help=alias
    )
    first = "number of a contig's first base in tables"
    parser.add_argument("--first", type=int, choices=(0, 1), default=1, help=first)
    wrong = "share of variants that may not fit the reference, and are left out; default 0.01"
    parser.add_argument(
        "--most-wrong", type=share, default=0.01, metavar="S", help=wrong
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise InputError for an output that cannot be written, before the run is loaded."""
    from r2mae.modalities.dna.variants.writer import check_output

    check_output(Path(arguments.output), Path(arguments.variants))


def run(loaded: LoadedRun, arguments: argparse.Namespace) -> None:
    """Score what is not scored yet, then write all of it."""
    from r2mae.data.building import one_at_a_time
    from r2mae.modalities.dna.variants.writer import write_scores

    output = Path(arguments.output)
    variants, places = open_variants(loaded, arguments, arguments.variants)
    journal, about = output.with_name(f".scoring_{output.name}"), _about(loaded.recipe)
    with one_at_a_time(output, wait=False):
        scores = score(loaded, variants, places, journal)
        write_scores(
            output, variants, scores, getattr(places, "reference", places), about
        )
        journal.unlink()
    unscored = int((scores != scores).sum())
    result = {
        "output": str(output),
        "variants": len(variants),
        "unscored": unscored,
        "skipped": variants.skipped,
    }
    if arguments.json:
        print(json.dumps(result | {"mismatches": variants.mismatches}))
        return
    print(f"{output}: {len(variants):,} variants, column {SCORE}: {about}")
    if unscored:
        print(
            f"{unscored:,} have no score, since other bases of their k-mer are unknown"
        )


def _about(recipe: Any) -> str:
    strands = (
        "mean of both strands"
        if recipe.data.both_strands
        else "forward strand, as trained"
    )
    return f"log-likelihood of ALT minus that of REF, site hidden, {strands}"


def open_variants(
    loaded: Any, arguments: argparse.Namespace, path: str
) -> tuple[Any, Any]:
    """(variants of a file, the genome or alignment that they are of); what is left out is said on stderr.

    Raises: InputError for a run that predicts no bases, and for what `read_variants` refuses.
    """
    from r2mae.modalities.dna.assembly import find_reference
    from r2mae.modalities.dna.variants.variants import read_variants

    recipe = loaded.recipe
    if recipe.task != "pretrain":
        raise InputError(
            f"RUN must be a pretraining run on DNA, got {recipe.task} in {loaded.folder.path}."
        )
    columns, aliases = (
        parse_pairs(name, getattr(arguments, name)) for name in ("column", "alias")
    )
    places = find_reference(recipe, arguments.reference)
    genome = getattr(places, "reference", places)
    options: dict[str, Any] = {
        "columns": columns,
        "aliases": aliases,
        "first": arguments.first,
    }
    variants = read_variants(
        Path(path), genome, **options, most_wrong=arguments.most_wrong
    )
    if variants.skipped:
        words = ", ".join(f"{count:,} {why}" for why, count in variants.skipped.items())
        more = f"; {'; '.join(variants.mismatches)}" if variants.mismatches else ""
        print(f"{path}: left out {words}{more}", file=sys.stderr)
    return variants, places


def score(
    loaded: Any,
    variants: Any,
    places: Any,
    journal: Path | None = None,
    *,
    told: bool = True,
) -> Any:
    """(V,) scores, the computed ones kept in the journal; told: how far it is."""
    from r2mae.modalities.dna.assembly import codec_of
    from r2mae.modalities.dna.variants.scoring import (
        SiteScorer,
        score_variants,
        scoring_key,
    )

    data = loaded.recipe.data
    scorer = SiteScorer(
        loaded.model,
        codec_of(loaded.recipe),
        places,
        data.length,
        both_strands=data.both_strands,
    )
    key = scoring_key(loaded.manifest, places, variants, data.length)
    progress = {"progress": progress_bar("score", "sites")} if told else {}
    return score_variants(scorer, variants, journal=journal, key=key, **progress)


def given_scores(loaded: Any, variants: Any, places: Any) -> Any:
    """(V,) scores that a file brings, or None; some of them are computed again.

    Raises: InputError for scores that are not this run's, and for what is no number.
    """
    import numpy as np

    try:
        words = variants.column(SCORE)
    except InputError:
        return None
    alleles = [str(word).split(",") for word in words]
    parts = [
        part[number] if number < len(part) else part[0]
        for part, number in zip(alleles, variants.alleles, strict=True)
    ]
    try:
        scores = np.array(
            [
                float(part) if part not in ("", ".", "nan", "None") else np.nan
                for part in parts
            ]
        )
    except ValueError as error:
        raise InputError(
            f"{variants.called}: {SCORE} must hold numbers, got: {error}. Score the file again."
        ) from None
    some = np.unique(np.linspace(0, len(scores) - 1, _PROBED).astype(int))
    found = score(loaded, variants.take(some), places, told=False)
    differs = np.flatnonzero(
        np.abs(found - scores[some]) > _CLOSE * (1 + np.abs(found))
    )
    if len(differs) or np.isnan(scores[some]).sum() != np.isnan(found).sum():
        row = some[differs[0]] if len(differs) else some[0]
        raise InputError(
            f"{variants.called}: {SCORE} must be this run's scores, got {scores[row]:.4f} where it gives "
            f"{found[differs[0]] if len(differs) else found[0]:.4f}. Score the file with this run, or drop the column."
        )
    return scores
