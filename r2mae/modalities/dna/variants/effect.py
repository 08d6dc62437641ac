"""`r2mae evaluate --task variant_effect`: labelled variants, the run's scores beside transversions and phyloP."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities.dna.variants.verb import (
    add_variant_options,
    given_scores,
    open_variants,
    score,
)
from r2mae.options import parse_pairs, positive
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing import LoadedRun, Result


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the task, and how variants are read."""
    parser.add_argument(
        "--variants", metavar="FILE", help="variants, scored by score-variants or not"
    )
    examples = {"positive": ("1", "pathogenic, say"), "negative": ("0", "benign, say")}
    for name, (default, example) in examples.items():
        text = f"values of the label between commas; default {default}; {example}. Other values are left out"
        parser.add_argument(
            f"--{name}", default=default, metavar="VALUE,VALUE", help=text
        )
    track = "bedGraph, wiggle or table: phyloP of the reference, to compare with"
    parser.add_argument("--phylop", metavar="FILE", help=track)
    draws = "bootstrap samples; default 1000"
    parser.add_argument(
        "--draws-of-variants", type=positive, default=1000, metavar="N", help=draws
    )
    add_variant_options(parser)


def evaluate(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:  # noqa: ARG001
    """AUROC and AUPRC of each score with 95 % intervals of the bootstrap."""
    import numpy as np

    from r2mae.metrics.ranking import rank_scores

    for name in ("variants", "label"):
        if getattr(arguments, name) is None:
            raise InputError(
                f"--{name} must be given with --task variant_effect, got nothing."
            )
    variants, places = open_variants(loaded, arguments, arguments.variants)
    is_positive, is_labelled = _classes(variants, arguments)
    scores, missing = _all_scores(loaded, variants, places, arguments)
    is_unscored = is_labelled & np.isnan(scores["run"])
    kept, is_positive = is_labelled & ~is_unscored, is_positive & ~is_unscored
    if not is_positive.any() or not (kept & ~is_positive).any():
        raise InputError(
            "--positive and --negative must both be of scored variants, got none of one of them."
        )
    chosen = {name: values[kept] for name, values in scores.items()}
    counts = {
        "positive": int(is_positive.sum()),
        "negative": int(kept.sum() - is_positive.sum()),
        "other": int(len(kept) - kept.sum() - is_unscored.sum()),
        "unscored": int(is_unscored.sum()),
    }
    return {
        "label": arguments.label,
        "variants": counts,
        "skipped": variants.skipped,
        "phylop_missing": missing,
        "scores": rank_scores(
            chosen, is_positive[kept], draws=arguments.draws_of_variants
        ),
    }


def show_scores(result: Result) -> None:
    """A line for each score."""
    counts = result["variants"]
    unscored = f", {counts['unscored']:,} without a score" if counts["unscored"] else ""
    print(
        f"{counts['positive']:,} positive, {counts['negative']:,} negative, "
        f"{counts['other']:,} others left out{unscored}"
    )
    print(f"{'':<14}{'AUROC, 95 % of bootstrap':<36}{'AUPRC':<26}run - this: AUROC")
    for name, row in result["scores"].items():
        auroc, auprc = _interval(row["auroc"]), _interval(row["auprc"])
        difference = (
            _interval(row["auroc_difference"], "+") if "auroc_difference" in row else ""
        )
        print(f"{name:<14}{auroc:<36}{auprc:<26}{difference}".rstrip())


def _classes(variants: Any, arguments: Namespace) -> tuple[Any, Any]:
    """(which variants are positive (V,), which are of either class (V,))."""
    import numpy as np

    words = np.array(
        [_word(value) for value in variants.column(arguments.label).tolist()]
    )
    flags = []
    for name in ("positive", "negative"):
        wanted = getattr(arguments, name).split(",")
        found = np.isin(words, wanted)
        if not found.any():
            known = ", ".join(sorted(set(words.tolist()))[:8])
            raise InputError(
                f"--{name} must be values of {arguments.label}, got {','.join(wanted)}. Known: {known}."
            )
        flags.append(found)
    if (flags[0] & flags[1]).any():
        raise InputError(
            "--positive and --negative must be of different values, got one in both."
        )
    return flags[0], flags[0] | flags[1]


def _word(value: Any) -> str:
    """1.0 is 1: columns with gaps are read as numbers with a point."""
    return (
        str(int(value))
        if isinstance(value, float) and value == value and value == int(value)
        else str(value)
    )


def _all_scores(
    loaded: Any, variants: Any, places: Any, arguments: Namespace
) -> tuple[dict[str, Any], int]:
    """({name: (V,) greater for harm}, variants where phyloP has no value, which count as 0)."""
    import numpy as np

    from r2mae.modalities.dna.genome.tracks import open_track
    from r2mae.modalities.dna.variants.scoring import is_transversion

    ratios = given_scores(loaded, variants, places)
    if ratios is None:
        ratios = score(loaded, variants, places)
    scores = {
        "run": -ratios,
        "transversion": is_transversion(variants).astype(np.float64),
    }
    if arguments.phylop is None:
        return scores, 0
    genome = getattr(places, "reference", places)
    track = open_track(
        Path(arguments.phylop), genome, parse_pairs("alias", arguments.alias)
    )
    values = track.values[genome.offsets[variants.contigs] + variants.positions].astype(
        np.float64
    )
    return scores | {"phyloP": np.nan_to_num(values)}, int(np.isnan(values).sum())


def _interval(found: dict[str, float], sign: str = "") -> str:
    return f"{found['value']:{sign}.3f} ({found['low']:{sign}.3f} to {found['high']:{sign}.3f})"
