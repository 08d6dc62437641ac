"""`r2mae score-variants`: write the log-likelihood ratio of ALT to REF to a table or VCF."""

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

_NUM_CHECKED = 16  # scores of a file that are recomputed
_TOLERANCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `score-variants`."""
    variants = ".vcf, .tsv, .csv, each also with .gz, or .parquet"
    parser.add_argument("variants", metavar="VARIANTS", help=variants)
    output = ".tsv, .csv or .vcf, each also with .gz (bgzip), or .parquet"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    add_variant_options(parser)


def add_variant_options(parser: Any) -> None:
    """Options of reading variants."""
    reference = (
        "genome on which the variants were called, or an alignment for runs on "
        "alignments; default: the run's own"
    )
    parser.add_argument("--reference", metavar="FASTA", help=reference)
    column = "column of contig, position, ref or alt, e.g. position=pos_hg38"
    parser.add_argument(
        "--column", action="append", default=[], metavar="FIELD=NAME", help=column
    )
    alias = "contig name in the files = in the reference, e.g. chrM=NC_012920.1"
    parser.add_argument(
        "--alias", action="append", default=[], metavar="NAME=CONTIG", help=alias
    )
    first = "position of a contig's first base in tables: 0-based or 1-based; default 1"
    parser.add_argument("--first", type=int, choices=(0, 1), default=1, help=first)
    wrong = (
        "largest share of variants whose contig or REF is not the reference's; "
        "these are left out; default 0.01"
    )
    parser.add_argument(
        "--most-wrong", type=share, default=0.01, metavar="S", help=wrong
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise InputError, before the run is loaded, where the output cannot be written."""
    from r2mae.modalities.dna.variants.writer import check_output

    check_output(Path(arguments.output), Path(arguments.variants))


def run(loaded: LoadedRun, arguments: argparse.Namespace) -> None:
    """Score variants, resuming an interrupted call, and write all of them."""
    from r2mae.data.lock import one_at_a_time
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
        print(f"{unscored:,} have no score, since their k-mer holds an N")


def _about(recipe: Any) -> str:
    """What a score is, for the VCF's header."""
    strands = (
        "mean of both strands"
        if recipe.data.both_strands
        else "forward strand, as trained"
    )
    return f"log-likelihood of ALT minus that of REF, site masked, {strands}"


def open_variants(
    loaded: Any, arguments: argparse.Namespace, path: str
) -> tuple[Any, Any]:
    """(variants of a file, their genome or alignment); prints to stderr what is left out.

    Raises: InputError for a fine-tuned run, and as `read_variants` does.
    """
    from r2mae.modalities.dna.recipe_data import find_reference
    from r2mae.modalities.dna.variants.reader import read_variants

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
        counts = ", ".join(
            f"{count:,} {why}" for why, count in variants.skipped.items()
        )
        examples = "".join(f"; {text}" for text in variants.mismatches)
        print(f"{path}: left out {counts}{examples}", file=sys.stderr)
    return variants, places


def score(
    loaded: Any,
    variants: Any,
    places: Any,
    journal: Path | None = None,
    *,
    show_progress: bool = True,
) -> Any:
    """(V,) scores; journal: file of finished ones, from which it resumes."""
    from r2mae.modalities.dna.recipe_data import codec_of
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
    progress = {"progress": progress_bar("score", "sites")} if show_progress else {}
    return score_variants(scorer, variants, journal=journal, key=key, **progress)


def scores_in_file(loaded: Any, variants: Any, places: Any) -> Any:
    """(V,) scores of the file's own score column, some of them recomputed; None without one.

    Raises: InputError for scores of another run, and for cells that are no numbers.
    """
    import numpy as np

    try:
        column = variants.column(SCORE)
    except InputError:
        return None
    try:
        scores = np.array(
            [
                _allele_score(str(cell), allele)
                for cell, allele in zip(column, variants.alleles, strict=True)
            ]
        )
    except ValueError as error:
        raise InputError(
            f"{variants.called}: {SCORE} must hold numbers, got: {error}. "
            "Score the file again."
        ) from None
    _check_scores(loaded, variants, places, scores)
    return scores


def _allele_score(cell: str, allele: int) -> float:
    """The score of one ALT in a cell with a score for each ALT; nan where it is empty."""
    parts = cell.split(",")
    part = parts[allele] if allele < len(parts) else parts[0]
    return float("nan") if part in ("", ".", "nan", "None") else float(part)


def _check_scores(loaded: Any, variants: Any, places: Any, scores: Any) -> None:
    """Raise InputError where recomputed scores of some variants differ from scores (V,)."""
    import numpy as np

    rows = np.unique(np.linspace(0, len(scores) - 1, _NUM_CHECKED).astype(int))
    actual, expected = (
        scores[rows],
        score(loaded, variants.take(rows), places, show_progress=False),
    )
    is_off = np.abs(expected - actual) > _TOLERANCE * (1 + np.abs(expected))
    is_off |= np.isnan(expected) != np.isnan(actual)
    if is_off.any():
        at = int(np.flatnonzero(is_off)[0])
        raise InputError(
            f"{variants.called}: {SCORE} must be this run's scores, "
            f"got {actual[at]:.4f} where it gives {expected[at]:.4f}. "
            "Score the file with this run, or drop the column."
        )
