"""`r2mae evaluate --task variant_effect`: AUROC and AUPRC of a run's variant scores.

Baselines: transversions, counts of columns on an alignment, and phyloP where a file is
named.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from r2mae.errors import InputError, did_you_mean
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.dna.variants.options import (
    add_variant_options,
    check_variant_options,
)
from r2mae.modalities.dna.variants.subcommand import (
    open_variants,
    score,
    scores_in_file,
)
from r2mae.options import parse_pairs, positive
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the task, and of reading variants."""
    parser.add_argument(
        "--variants",
        metavar="FILE",
        help="labelled variants, with or without scores of score-variants",
    )
    examples = {"positive": ("1", "pathogenic"), "negative": ("0", "benign")}
    for name, (default, example) in examples.items():
        text = (
            f"label values of the {name} class, comma-separated; default {default}; "
            f"e.g. {example}. Variants with other values are left out"
        )
        parser.add_argument(
            f"--{name}", default=default, metavar="VALUE,VALUE", help=text
        )
    track = "phyloP of the reference as bedGraph, wiggle or table, for comparison"
    parser.add_argument("--phylop", metavar="FILE", help=track)
    draws = "number of bootstrap samples; default 1000"
    parser.add_argument(
        "--draws-of-variants", type=positive, default=1000, metavar="N", help=draws
    )
    add_variant_options(parser)


def check(_: AnyRecipe, arguments: Namespace) -> None:
    """Raise InputError for options that are missing, contradict each other, or name no file."""
    for name in ("variants", "label"):
        if getattr(arguments, name) is None:
            raise InputError(
                f"--{name} must be set for --task variant_effect, got nothing."
            )
    for name in ("variants", "phylop"):
        path = getattr(arguments, name)
        if path is not None and not Path(path).is_file():
            raise InputError(f"--{name} must be a file, got {path!r}. Check the path.")
    if set(_values(arguments.positive)) & set(_values(arguments.negative)):
        raise InputError("--positive and --negative must differ, got a value in both.")
    check_variant_options(arguments)


def evaluate(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:  # noqa: ARG001
    """AUROC and AUPRC of each score with 95 % bootstrap intervals."""
    import numpy as np

    from r2mae.metrics.ranking import rank_scores

    variants, places = open_variants(loaded, arguments, arguments.variants)
    is_positive, is_labelled, absent = _classes(variants, arguments)
    scores, missing = _all_scores(loaded, variants, places, arguments)
    is_unscored = is_labelled & np.isnan(scores["run"])
    kept, is_positive = is_labelled & ~is_unscored, is_positive & ~is_unscored
    if not is_positive.any() or not (kept & ~is_positive).any():
        raise InputError(
            "--positive and --negative must each match a scored variant, "
            "got none for one of them."
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
        "labels_without_variants": absent,
        "skipped": variants.skipped,
        "phylop_missing": missing,
        "scores": rank_scores(
            chosen, is_positive[kept], draws=arguments.draws_of_variants
        ),
    }


def show_scores(result: Result) -> None:
    """Print a line for each score."""
    counts = result["variants"]
    unscored = f", {counts['unscored']:,} without a score" if counts["unscored"] else ""
    print(
        f"{counts['positive']:,} positive, {counts['negative']:,} negative, "
        f"{counts['other']:,} of other labels left out{unscored}"
    )
    for value, remedy in result["labels_without_variants"].items():
        print(f"no variant has the label {value!r}. {remedy}".rstrip())
    print(f"{'':<14}{'AUROC, 95 % interval':<36}{'AUPRC':<26}AUROC: run - this")
    for name, row in result["scores"].items():
        auroc, auprc = _interval(row["auroc"]), _interval(row["auprc"])
        difference = (
            _interval(row["auroc_difference"], "+") if "auroc_difference" in row else ""
        )
        print(f"{name:<14}{auroc:<36}{auprc:<26}{difference}".rstrip())


def _classes(variants: Any, arguments: Namespace) -> tuple[Any, Any, dict[str, str]]:
    """(which variants are positive (V,), which are of either class (V,), absent values).

    Absent values are those that no variant has, each with the similar labels as a question.
    """
    import numpy as np

    column = variants.column(arguments.label).tolist()
    labels = np.array([_as_label(value) for value in column])
    present = sorted(set(labels.tolist()))
    flags, absent = [], dict[str, str]()
    for name in ("positive", "negative"):
        values = _values(getattr(arguments, name))
        is_class = np.isin(labels, values)
        if not is_class.any():
            raise InputError(
                f"--{name} must be values of {arguments.label}, "
                f"got {','.join(values)}. Present: {', '.join(present[:8])}."
            )
        flags.append(is_class)
        others = [value for value in values if value not in present]
        absent |= {value: did_you_mean(value, present) for value in others}
    return flags[0], flags[0] | flags[1], absent


def _as_label(value: Any) -> str:
    """A label as text; 1.0 as "1", since integer columns with gaps are read as floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _values(text: str) -> list[str]:
    """Label values separated by commas; blanks beside commas do not count."""
    return [value.strip() for value in text.split(",")]


def _all_scores(
    loaded: Any, variants: Any, places: Any, arguments: Namespace
) -> tuple[dict[str, Any], int]:
    """({name: (V,), higher is more deleterious}, variants without phyloP, scored 0)."""
    import numpy as np

    from r2mae.modalities.dna.column_counts import column_ratios
    from r2mae.modalities.dna.genome.tracks import open_track
    from r2mae.modalities.dna.variants.scoring import is_transversion

    ratios = scores_in_file(loaded, variants, places)
    if ratios is None:
        ratios = score(loaded, variants, places)
    scores = {
        "run": -ratios,
        "transversion": is_transversion(variants).astype(np.float64),
    }
    if hasattr(places, "species"):
        scores["columns"] = column_ratios(places, variants)
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


def _interval(row: dict[str, float], sign: str = "") -> str:
    value, low, high = (f"{row[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
