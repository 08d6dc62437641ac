"""`r2mae evaluate --task masked` on DNA, and `r2mae demo`: cross-entropy on masked bases."""

from argparse import ArgumentParser, Namespace

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.options import mask_ratios
from r2mae.progress import progress_bar
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result, require_pretraining

_DEMO_RATIO = 0.15


def add_arguments(parser: ArgumentParser) -> None:
    """`--ratios` and `--skip-repeats`."""
    parser.add_argument(
        "--ratios",
        type=mask_ratios,
        default="0.05,0.15,0.3",
        metavar="P,P,P",
        help="mask ratios; default 0.05,0.15,0.3",
    )
    repeats = "do not count soft-masked bases (lower case); they are masked like others"
    parser.add_argument("--skip-repeats", action="store_true", help=repeats)


def check(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for a fine-tuned run."""
    require_pretraining(recipe, "masked")


def score(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """A row for each ratio on the test split, or on the windows held out of training."""
    rows = score_ratios(
        loaded,
        recipe,
        arguments.ratios,
        skip_repeats=arguments.skip_repeats,
    )
    return {
        "split": "test",
        "kmer": recipe.model.kmer,
        "skip_repeats": arguments.skip_repeats,
        "scores": rows,
    }


def score_ratios(
    loaded: LoadedRun,
    recipe: AnyRecipe,
    ratios: list[float],
    *,
    skip_repeats: bool = False,
) -> list[Result]:
    """A row for each ratio."""
    from r2mae.data.source import hold_out
    from r2mae.modalities.dna.masked_bases import score_bases
    from r2mae.modalities.dna.recipe_data import open_split

    train = hold_out(open_split(recipe, "train"), recipe.data.held_out)[0]
    scores = score_bases(
        loaded.model,
        train,
        open_split(recipe, "test"),
        ratios,
        kmer=recipe.model.kmer,
        is_aligned=recipe.data.alignment is not None,
        skip_repeats=skip_repeats,
        progress=progress_bar("masked", "windows"),
        counting=progress_bar("contexts", "windows"),
    )
    return [row.to_dict() for row in scores]


def show_scores(result: Result) -> None:
    """Print a line for each ratio. `columns` are those of an alignment."""
    kmer = result.get("kmer", 1)
    of = f" of a {kmer}-mer" if kmer > 1 else ""
    is_aligned = result["scores"][0]["column_loss"] is not None
    columns = "  columns" if is_aligned else ""
    print(
        f"nats per masked base  run  contexts of 4 + 4{columns}  frequencies"
        f"   run - best of these   accuracy{of}"
    )
    for row in result["scores"]:
        half = "" if row["half_width"] is None else f" ± {row['half_width']:.4f}"
        columns = f"  {row['column_loss']:7.4f}" if is_aligned else ""
        print(
            f"{row['ratio']:5.2f} {row['bases']:10,}  {row['loss']:.4f}"
            f"  {row['count_loss']:15.4f}{columns}  {row['order_0_loss']:11.4f}"
            f"   {row['difference']:+.4f}{half:<14}  {row['accuracy']:8.3f}"
        )


def check_demo(recipe: AnyRecipe, _: Namespace) -> None:
    """Raise InputError for a recipe on another genome than the simulated one."""
    if recipe.data.card != "simulated_motifs" or len(recipe.data.test) != 1:
        raise InputError(
            "RECIPE must be on the card simulated_motifs with one test interval, "
            f"got {recipe.data.card}."
        )


def run_demo(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:  # noqa: ARG001
    """Cross-entropy on the test split, and recovery of the simulated genome's motifs."""
    from r2mae.modalities.dna.motifs import recover_motifs
    from r2mae.modalities.dna.recipe_data import codec_of, find_reference
    from r2mae.modalities.dna.variants.scoring import SiteScorer

    scores = score_ratios(loaded, recipe, [_DEMO_RATIO])
    scorer = SiteScorer(
        loaded.model, codec_of(recipe), find_reference(recipe, None), recipe.data.length
    )
    first = int(recipe.data.test[0].partition(":")[2].partition("-")[0]) - 1
    motifs = recover_motifs(scorer, first, progress=progress_bar("motifs", "sites"))
    return {"simulated": True, "scores": scores, "motifs": motifs}


def show_demo(result: Result) -> None:
    """Print the scores and the recovery of motifs."""
    show_scores(result)
    motifs = result["motifs"]
    print(
        f"SIMULATED genome: {motifs['recovered']} of its {motifs['motifs']} "
        "planted motifs recovered"
    )
    print(
        f"accuracy at their masked bases {motifs['share']:.3f}, "
        f"at other bases {motifs['elsewhere']:.3f}"
    )


def conclude_demo(result: Result) -> str:
    """Motifs that were recovered, and the gain over the best count model."""
    row, motifs = result["scores"][0], result["motifs"]
    half = "" if row["half_width"] is None else f" ± {row['half_width']:.3f}"
    return (
        f"The model recovers {motifs['recovered']} of {motifs['motifs']} planted motifs; "
        f"with {row['ratio']:.0%} of the bases masked, its cross-entropy differs by "
        f"{row['difference']:+.3f}{half} nats per base from the best count model "
        "(negative is better)."
    )
