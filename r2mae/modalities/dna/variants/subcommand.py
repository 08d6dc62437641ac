"""`r2mae score-variants`: write the log-likelihood ratio of ALT to REF to a table or VCF."""

import argparse
import sys
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.dna.variants.files import PASSES, SCORE
from r2mae.modalities.dna.variants.options import (
    add_variant_options,
    check_variant_options,
)
from r2mae.options import parse_pairs
from r2mae.progress import progress_bar

_NUM_CHECKED = 16  # scores of a file that are recomputed
_TOLERANCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `score-variants`."""
    variants = ".vcf, .tsv, .csv, each also with .gz, or .parquet"
    parser.add_argument("variants", nargs="?", metavar="VARIANTS", help=variants)
    every = (
        "instead of VARIANTS: the three SNVs of every base of a region, chr1:1001-2000 "
        "or FILE.bed; repeatable"
    )
    parser.add_argument(
        "--all", action="append", default=[], metavar="REGION", help=every
    )
    output = (
        ".tsv, .csv or .vcf, each also with .gz (bgzip), or .parquet; with --all also "
        ".bw (bigWig), each base's mean of the three scores"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    regions = "score only variants in a region or FILE.bed; repeatable"
    parser.add_argument(
        "--regions", action="append", default=[], metavar="REGION", help=regions
    )
    indels = (
        "score indels and longer substitutions too, by pseudo-log-likelihoods of "
        f"windows: {PASSES} times as long as an SNV for each allele"
    )
    parser.add_argument("--indels", action="store_true", help=indels)
    add_variant_options(parser)


def check(arguments: argparse.Namespace) -> None:
    """Raise InputError, before the run is loaded, for files that cannot be read or written."""
    from r2mae.modalities.dna.variants.writer import check_output

    if (arguments.variants is None) != bool(arguments.all):
        got = "neither" if arguments.variants is None else "both"
        raise InputError(f"Either VARIANTS or --all must be given, got {got}.")
    source = None if arguments.all else Path(arguments.variants)
    if source is not None and not source.is_file():
        raise InputError(
            f"VARIANTS must be a file, got {arguments.variants!r}. Check the path."
        )
    check_output(Path(arguments.output), source)
    check_variant_options(arguments)


def run(loaded: LoadedRun, arguments: argparse.Namespace) -> None:
    """Score variants, resuming an interrupted call, and write all of them."""
    from r2mae.data.lock import one_at_a_time
    from r2mae.modalities.dna.variants.writer import write_scores

    output = Path(arguments.output)
    if arguments.all:
        variants, places = _open_all(loaded, arguments)
    else:
        variants, places = open_variants(loaded, arguments, arguments.variants)
    genome = getattr(places, "reference", places)
    journal, about = output.with_name(f".scoring_{output.name}"), _about(loaded.recipe)
    with one_at_a_time(output, wait=False):
        scores = score(loaded, variants, places, journal)
        long_scores = _score_longer(loaded, variants, places)
        write_scores(output, variants, scores, genome, about, long_scores)
        journal.unlink()
    unscored = int((scores != scores).sum())
    result = {
        "output": str(output),
        "variants": len(variants) + len(variants.longer),
        "indels": len(variants.longer),
        "unscored": unscored,
        "skipped": variants.skipped,
    }
    if arguments.json:
        print(json_text(result | {"mismatches": variants.mismatches}))
        return
    print(f"{output}: {result['variants']:,} variants, column {SCORE}: {about}")
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


def _open_all(loaded: Any, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """(every SNV of the regions of --all, their genome or alignment)."""
    from r2mae.modalities.dna.genome.intervals import parse_intervals
    from r2mae.modalities.dna.variants.saturation import all_variants

    places, genome = _open_reference(loaded, arguments)
    aliases = parse_pairs("alias", arguments.alias)
    return all_variants(parse_intervals(arguments.all, genome, aliases), genome), places


def _open_reference(loaded: Any, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """(genome or alignment, genome) of variants. Raises: InputError for a fine-tuned run."""
    from r2mae.modalities.dna.recipe_data import find_reference

    recipe = loaded.recipe
    if recipe.task != "pretrain":
        raise InputError(
            f"RUN must be a pretraining run on DNA, got {recipe.task} in {loaded.folder.path}."
        )
    places = find_reference(recipe, arguments.reference)
    return places, getattr(places, "reference", places)


def _longest_allele(loaded: Any, arguments: argparse.Namespace) -> int:
    """Bases of the longest allele that is scored: 1, or with --indels half a window."""
    if not getattr(arguments, "indels", False):
        return 1
    if loaded.recipe.data.alignment is not None:
        raise InputError(
            "--indels must be left out for a run on an alignment, whose columns have no "
            "inserted bases, got --indels."
        )
    return int(loaded.recipe.data.length) // 2


def _score_longer(loaded: Any, variants: Any, places: Any) -> Any:
    """(L,) scores of indels and longer substitutions."""
    from r2mae.modalities.dna.variants.likelihood import score_longer

    if not len(variants.longer):
        return None
    scorer = _make_scorer(loaded, places)
    return score_longer(scorer, variants.longer, progress_bar("indels", "variants"))


def open_variants(
    loaded: Any, arguments: argparse.Namespace, path: str
) -> tuple[Any, Any]:
    """(variants of a file, their genome or alignment); prints to stderr what is left out.

    Raises: InputError for a fine-tuned run, and as `read_variants` does.
    """
    from r2mae.modalities.dna.genome.intervals import parse_intervals
    from r2mae.modalities.dna.variants.reader import read_variants
    from r2mae.modalities.dna.variants.saturation import keep_inside

    places, genome = _open_reference(loaded, arguments)
    columns, aliases = (
        parse_pairs(name, getattr(arguments, name)) for name in ("column", "alias")
    )
    variants = read_variants(
        Path(path),
        genome,
        columns=columns,
        aliases=aliases,
        first=arguments.first,
        most_wrong=arguments.most_wrong,
        longest=_longest_allele(loaded, arguments),
    )
    if regions := getattr(arguments, "regions", []):
        variants = keep_inside(
            variants, parse_intervals(regions, genome, aliases), genome
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
    from r2mae.modalities.dna.variants.scoring import score_variants, scoring_key

    scorer = _make_scorer(loaded, places)
    key = scoring_key(loaded.manifest, places, variants, scorer.length)
    progress = {"progress": progress_bar("score", "sites")} if show_progress else {}
    return score_variants(scorer, variants, journal=journal, key=key, **progress)


def _make_scorer(loaded: Any, places: Any) -> Any:
    """The `SiteScorer` of a run."""
    from r2mae.modalities.dna.recipe_data import codec_of
    from r2mae.modalities.dna.variants.scoring import SiteScorer

    data = loaded.recipe.data
    return SiteScorer(
        loaded.model,
        codec_of(loaded.recipe),
        places,
        data.length,
        both_strands=data.both_strands,
    )


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
