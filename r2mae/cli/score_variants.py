"""`r2mae score-variants`: how likely the other base of each variant is, to a table or a VCF."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from r2mae.cli.show import show
from r2mae.datasets.variant_files import SCORE
from r2mae.errors import InputError

_PROBED, _CLOSE = 16, 1e-3  # scores of a file that are computed again, and how near they must be


def run(arguments: argparse.Namespace) -> None:
    """Score what is not scored yet, then write all of it."""
    output = Path(arguments.output)
    from r2mae.datasets.variant_writer import check_output, write_scores

    check_output(output, Path(arguments.variants))
    from r2mae.datasets.building import one_at_a_time
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    variants, places = open_variants(loaded, arguments, arguments.variants)
    journal, about = output.with_name(f".scoring_{output.name}"), _about(loaded.recipe)
    with one_at_a_time(output, wait=False):
        scores = score(loaded, variants, places, journal)
        write_scores(output, variants, scores, getattr(places, "reference", places), about)
        journal.unlink()
    unscored = int((scores != scores).sum())
    result = {"output": str(output), "variants": len(variants), "unscored": unscored, "skipped": variants.skipped}
    if arguments.json:
        print(json.dumps(result | {"mismatches": variants.mismatches}))
        return
    print(f"{output}: {len(variants):,} variants, column {SCORE}: {about}")
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
        words = variants.column(SCORE)
    except InputError:
        return None
    alleles = [str(word).split(",") for word in words]
    parts = [
        part[number] if number < len(part) else part[0] for part, number in zip(alleles, variants.alleles, strict=True)
    ]
    try:
        scores = np.array([float(part) if part not in ("", ".", "nan", "None") else np.nan for part in parts])
    except ValueError as error:
        raise InputError(f"{variants.called}: {SCORE} must hold numbers, got: {error}. Score the file again.") from None
    some = np.unique(np.linspace(0, len(scores) - 1, _PROBED).astype(int))
    found = score(loaded, variants.take(some), places, told=False)
    differs = np.flatnonzero(np.abs(found - scores[some]) > _CLOSE * (1 + np.abs(found)))
    if len(differs) or np.isnan(scores[some]).sum() != np.isnan(found).sum():
        row = some[differs[0]] if len(differs) else some[0]
        raise InputError(
            f"{variants.called}: {SCORE} must be this run's scores, got {scores[row]:.4f} where it gives "
            f"{found[differs[0]] if len(differs) else found[0]:.4f}. Score the file with this run, or drop the column."
        )
    return scores


def pairs(name: str, words: list[str]) -> dict[str, str]:
    """NAME=VALUE words of an option. Raises: InputError for others."""
    split = [word.partition("=") for word in words]
    strange = next((word for word, (left, _, right) in zip(words, split, strict=True) if not left or not right), None)
    if strange is not None:
        raise InputError(f"--{name} must be two words with = between, got {strange!r}.")
    return {left: right for left, _, right in split}
