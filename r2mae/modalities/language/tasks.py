"""`r2mae evaluate --task masked` on texts: accuracy and loss on masked tokens of held-out rows."""

from argparse import ArgumentParser, Namespace

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.options import mask_ratios
from r2mae.progress import progress_bar
from r2mae.schema.recipe import AnyRecipe
from r2mae.wing_commands import Result


def add_arguments(parser: ArgumentParser) -> None:
    """`--ratios`."""
    parser.add_argument(
        "--ratios",
        type=mask_ratios,
        default="0.15,0.3,0.5",
        metavar="P,P,P",
        help="mask ratios: fractions of tokens to mask",
    )


def score(loaded: LoadedRun, recipe: AnyRecipe, arguments: Namespace) -> Result:
    """Scores at each ratio on the test split: the card's own, or the rows held out of training."""
    from r2mae.data.source import hold_out
    from r2mae.modalities.language.assembly import open_split
    from r2mae.modalities.language.masked_tokens import count_tokens, score_masked
    from r2mae.models.masked_language import MaskedLanguageModel

    if not isinstance(loaded.model, MaskedLanguageModel):
        raise InputError(
            f"RUN must be a pretraining run on texts for --task masked, got {loaded.folder.name}."
        )
    train = hold_out(open_split(recipe, "train"), recipe.data.held_out)[0]
    counts = count_tokens(loaded.model, train)
    test = open_split(recipe, "test")
    progress = progress_bar("masked", "rows")
    scores = score_masked(
        loaded.model, test, counts, arguments.ratios, progress=progress
    )
    return {"scores": [row.to_dict() for row in scores]}


def show_scores(result: Result) -> None:
    """Print a line for each ratio."""
    head = "ratio   tokens  accuracy         loss    perplexity"
    print(f"{head}  unigram baseline: accuracy  loss")
    for row in result["scores"]:
        accuracy = f"{row['accuracy']:.3f} ± {row['half_width']:.3f}"
        print(
            f"{row['ratio']:5.2f}  {row['tokens']:7,}  {accuracy}  {row['loss']:6.3f}"
            f"  {row['perplexity']:12.4g}"
            f"  {row['unigram_accuracy']:26.3f}  {row['unigram_loss']:.3f}"
        )


def conclude(result: Result) -> str:
    """The accuracy at the lowest ratio beside that of the most frequent token."""
    row = result["scores"][0]
    return (
        f"With {row['ratio']:.0%} of the tokens masked, the model predicts "
        f"{row['accuracy']:.1%} ± {row['half_width']:.1%} of them; always "
        f"predicting the most frequent token gives {row['unigram_accuracy']:.1%}."
    )
