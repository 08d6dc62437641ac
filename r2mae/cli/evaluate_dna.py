"""`r2mae evaluate --task masked | variant_effect` of runs on DNA: hidden bases, and labelled variants."""

import argparse
import json
from pathlib import Path
from typing import Any

from r2mae.cli import score_variants
from r2mae.cli.reconstruct import parse_ratios
from r2mae.cli.show import show
from r2mae.errors import InputError


def masked(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:
    """Score and print."""
    scores = score(loaded, recipe, parse_ratios(arguments.ratios))
    if arguments.json:
        about = {"run": arguments.run, "checkpoint_step": loaded.manifest["step"], "task": "masked", "split": "test"}
        print(json.dumps(about | {"scores": scores}))
        return
    print_scores(scores, recipe.model.kmer)


def score(loaded: Any, recipe: Any, ratios: list[float]) -> list[dict[str, Any]]:
    """A row a ratio, on the test split: what the recipe names, or what was held out of training."""
    from r2mae.evaluation.masked_bases import score_bases
    from r2mae.recipe.modality import open_split, open_training_data

    if recipe.task != "pretrain":
        raise InputError(f"--task masked must be asked of a pretraining run, got {loaded.folder.name}.")
    train, test = open_training_data(recipe)[0], open_split(recipe, "test")
    progress, counting, kmer = show("masked", "windows"), show("contexts", "windows"), recipe.model.kmer
    found = score_bases(loaded.model, train, test, ratios, kmer=kmer, progress=progress, counting=counting)
    return [row.to_dict() for row in found]


def print_scores(scores: list[dict[str, Any]], kmer: int = 1) -> None:
    """A line a ratio. kmer: bases of one of the model's tokens."""
    of = f" of a {kmer}-mer" if kmer > 1 else ""
    print(f"nats a hidden base   run  contexts of 4 + 4  bases alone   run - contexts   accuracy{of}")
    for row in scores:
        half = "" if row["half_width"] is None else f" ± {row['half_width']:.4f}"
        print(
            f"{row['ratio']:5.2f} {row['bases']:10,}  {row['loss']:.4f}  {row['count_loss']:15.4f}"
            f"  {row['order_0_loss']:11.4f}   {row['difference']:+.4f}{half:<9}  {row['accuracy']:8.3f}"
        )


def demo(loaded: Any, trained: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Hidden bases of the test split, and how many motifs of the simulated genome the run has found.

    Raises: InputError for a recipe of another genome.
    """
    from r2mae.evaluation.motifs import recover_motifs
    from r2mae.evaluation.variant_effect import SiteScorer
    from r2mae.recipe.dna import codec_of, find_reference

    recipe = loaded.recipe
    if recipe.data.card != "simulated_motifs" or len(recipe.data.test) != 1:
        raise InputError(f"RECIPE must be of the card simulated_motifs with one test interval, got {recipe.data.card}.")
    scores = score(loaded, recipe, [0.15])
    scorer = SiteScorer(loaded.model, codec_of(recipe), find_reference(recipe, None), recipe.data.length)
    first = int(recipe.data.test[0].partition(":")[2].partition("-")[0]) - 1
    found = recover_motifs(scorer, first, progress=show("motifs", "sites"))
    if not arguments.json:
        print_scores(scores)
        named = f"{found['share']:.3f} named right, of bases elsewhere {found['elsewhere']:.3f}"
        print(f"a SIMULATED genome: {found['recovered']} of its {found['motifs']} planted motifs recovered")
        print(f"of their hidden bases {named}")
    result = {"run": trained["run"], "training_seconds": trained["seconds"], "simulated": True}
    result |= {"scores": scores, "motifs": found}
    print(json.dumps(result) if arguments.json else f"demo: {json.dumps(result)}")


def variant_effect(loaded: Any, recipe: Any, arguments: argparse.Namespace) -> None:  # noqa: ARG001 - as its siblings
    """Labelled variants: the run's scores beside transversions, and phyloP where given."""
    for name in ("variants", "label"):
        if getattr(arguments, name) is None:
            raise InputError(f"--{name} must be given with --task variant_effect, got nothing.")
    variants, places = score_variants.open_variants(loaded, arguments, arguments.variants)
    is_positive, kept = _classes(variants, arguments)
    scores, missing = _all_scores(loaded, variants, places, arguments)
    import numpy as np

    from r2mae.metrics.ranking import rank_scores

    unscored = kept & np.isnan(scores["run"])
    kept, is_positive = kept & ~unscored, is_positive & ~unscored
    if not is_positive.any() or not (kept & ~is_positive).any():
        raise InputError("--positive and --negative must both be of scored variants, got none of one of them.")
    chosen = {name: values[kept] for name, values in scores.items()}
    found = rank_scores(chosen, is_positive[kept], draws=arguments.draws_of_variants)
    counts = {"positive": int(is_positive.sum()), "negative": int(kept.sum() - is_positive.sum())}
    counts |= {"other": int(len(kept) - kept.sum() - unscored.sum()), "unscored": int(unscored.sum())}
    about = {"run": arguments.run, "checkpoint_step": loaded.manifest["step"], "task": "variant_effect"}
    about |= {"label": arguments.label, "variants": counts, "skipped": variants.skipped, "phylop_missing": missing}
    if arguments.json:
        print(json.dumps(about | {"scores": found}))
        return
    print(
        f"{counts['positive']:,} positive, {counts['negative']:,} negative, {counts['other']:,} others left out", end=""
    )
    print(f", {counts['unscored']:,} without a score" if counts["unscored"] else "")
    print(f"{'':<14}{'AUROC, 95 % of bootstrap':<36}{'AUPRC':<26}run - this: AUROC")
    for name, row in found.items():
        cells = [_range(row["auroc"]), _range(row["auprc"])]
        more = _range(row["auroc_difference"], "+") if "auroc_difference" in row else ""
        print(f"{name:<14}{cells[0]:<36}{cells[1]:<26}{more}".rstrip())


def _classes(variants: Any, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """(which variants are positive (V,), which are of either class (V,))."""
    import numpy as np

    words = np.array([_word(value) for value in variants.column(arguments.label).tolist()])
    flags = []
    for name in ("positive", "negative"):
        wanted = getattr(arguments, name).split(",")
        found = np.isin(words, wanted)
        if not found.any():
            known = ", ".join(sorted(set(words.tolist()))[:8])
            raise InputError(f"--{name} must be values of {arguments.label}, got {','.join(wanted)}. Known: {known}.")
        flags.append(found)
    if (flags[0] & flags[1]).any():
        raise InputError("--positive and --negative must be of different values, got one in both.")
    return flags[0], flags[0] | flags[1]


def _word(value: Any) -> str:
    """1.0 is 1: columns with gaps are read as numbers with a point."""
    return str(int(value)) if isinstance(value, float) and value == value and value == int(value) else str(value)


def _all_scores(loaded: Any, variants: Any, places: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """({name: (V,) greater for harm}, variants where phyloP has no value, which count as 0)."""
    import numpy as np

    from r2mae.datasets.tracks import open_track
    from r2mae.evaluation.variant_effect import is_transversion

    ratios = score_variants.given_scores(loaded, variants, places)
    if ratios is None:
        ratios = score_variants.score(loaded, variants, places)
    scores = {"run": -ratios, "transversion": is_transversion(variants).astype(np.float64)}
    if arguments.phylop is None:
        return scores, 0
    genome = getattr(places, "reference", places)
    track = open_track(Path(arguments.phylop), genome, score_variants.pairs("alias", arguments.alias))
    values = track.values[genome.offsets[variants.contigs] + variants.positions].astype(np.float64)
    return scores | {"phyloP": np.nan_to_num(values)}, int(np.isnan(values).sum())


def _range(found: dict[str, float], sign: str = "") -> str:
    return f"{found['value']:{sign}.3f} ({found['low']:{sign}.3f} to {found['high']:{sign}.3f})"
