"""The language wing: masked language models of transformers over packed documents."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError
from r2mae.interop.exports import Export
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.language import builds, fill, tasks
from r2mae.modalities.language.schema import (
    LanguageFinetuneRecipe,
    LanguagePretrainRecipe,
)
from r2mae.wing import Wing
from r2mae.wing_commands import Build, Store, Subcommand, Task

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.interop.inference import Inference
    from r2mae.schema.recipe import AnyRecipe


def _export(loaded: LoadedRun, folder: Path) -> float:
    from r2mae.interop.export_transformer import export_transformer_run
    from r2mae.modalities.language.tokenizer import recipe_tokenizer

    recipe = loaded.recipe
    tokenizer = recipe_tokenizer(recipe)
    return export_transformer_run(loaded, folder, tokenizer, recipe.data.length)


def _load_with(loaded: LoadedRun) -> str:
    from r2mae.interop.export_transformer import auto_class

    return auto_class(loaded)


_MASKED = Task(
    "predict masked tokens of the test split, compared with a unigram baseline",
    tasks.score,
    tasks.show_scores,
    tasks.add_arguments,
    tasks.conclude,
)
_TASKS = {"masked": _MASKED}
_SUBCOMMANDS = {
    "fill": Subcommand(
        "predict the [MASK] tokens of a text",
        fill.run,
        fill.add_arguments,
    )
}


def _export_sentences(loaded: LoadedRun, folder: Path) -> float:
    from r2mae.interop.export_sentences import export_sentences
    from r2mae.modalities.language.tokenizer import recipe_tokenizer

    recipe = loaded.recipe
    return export_sentences(
        loaded, folder, recipe_tokenizer(recipe), recipe.data.length
    )


_LOAD_SENTENCES = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
features = model.encode(["a text", "another one"])"""
_EXPORTS = {
    "transformers": Export(
        _export,
        _load_with,
        "transformers",
        ("fill-mask", "text-classification"),
    ),
    "sentence-transformers": Export(
        _export_sentences,
        lambda loaded: _LOAD_SENTENCES,  # noqa: ARG005
        "sentence-transformers",
        ("sentence-similarity", "sentence-similarity"),
    ),
}
_BUILDS = {
    "language": Build(
        "tokenise texts into a store", builds.add_text_arguments, builds.build_text
    ),
    "tokenizer": Build(
        "train a tokenizer on texts",
        builds.add_tokenizer_arguments,
        builds.build_tokenizer,
    ),
}
_STORES = {
    "a store of text": Store(builds.inspect_store, builds.show_store),
    "a tokenizer": Store(builds.inspect_tokenizer, builds.show_tokenizer),
}


class LanguageWing(Wing):
    """Texts: packed rows for pretraining, labelled sentences for fine-tuning."""

    name = "language"
    pretrain_recipe = LanguagePretrainRecipe
    finetune_recipe = LanguageFinetuneRecipe
    baseline_name = "bag of tokens"
    tasks = _TASKS
    demo = _MASKED
    subcommands = _SUBCOMMANDS
    exports = _EXPORTS
    builds = _BUILDS
    stores = _STORES

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Rows of packed text, or labelled sentences."""
        from r2mae.modalities.language import assembly

        return assembly.open_split(recipe, split)

    def draws_test_split(self, recipe: AnyRecipe) -> bool:
        """Tables of fine-tuning have a test split of their own."""
        return recipe.task == "pretrain"

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """Texts of a folder, lines of a .txt file, or rows of a table."""
        from r2mae.modalities.language import assembly
        from r2mae.modalities.language.given_texts import Reading

        reading = Reading(
            arguments.column, arguments.long_texts, arguments.skip_bad_rows
        )
        return assembly.open_paths(recipe, paths, reading)

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """A list of texts, or of pairs of texts for a run that was fine-tuned on pairs."""
        from r2mae.modalities.language import assembly

        return assembly.open_objects(recipe, objects)

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """`--column`, `--long-texts` and `--skip-bad-rows`."""
        parser.add_argument(
            "--column",
            metavar="NAME",
            help="column of a table with the texts; default: the recipe's",
        )
        long_texts = (
            "texts over data.length tokens: cut them (default), average features or "
            "predictions over windows, or raise an error"
        )
        parser.add_argument(
            "--long-texts",
            choices=("cut", "windows", "error"),
            default="cut",
            help=long_texts,
        )
        builds.add_skip_bad_rows(parser)

    def describe_match(self, source: SampleSource) -> dict[str, Any]:
        """Long texts, and the share of unknown tokens."""
        from r2mae.data.source import root_of
        from r2mae.modalities.language.rows import Sentences
        from r2mae.modalities.language.sentences import describe_tokens

        root = root_of(source)
        return describe_tokens(root) if isinstance(root, Sentences) else {}

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """Tokens or texts, those that are cut, and the share of unknown tokens."""
        from r2mae.modalities.language import assembly

        return assembly.describe_data(recipe)

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """Packed rows, where the card of a pretraining recipe lists tokens; else `listed`."""
        return listed // recipe.data.length if recipe.task == "pretrain" else listed

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """Random words, and a tokenizer with the recipe's vocabulary size."""
        from r2mae.modalities.language.stand_in import stand_in

        return stand_in(recipe, folder)

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """A `MaskedLanguageModel`."""
        from r2mae.modalities.language import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """A `LanguageEncoder`."""
        from r2mae.modalities.language import assembly

        return assembly.build_encoder(recipe)

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """The tokenizer's files and the transformers configuration."""
        from r2mae.modalities.language import assembly

        return assembly.checkpoint_facts(recipe)

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe with the tokenizer and configuration of a checkpoint."""
        from r2mae.modalities.language import assembly

        return assembly.with_checkpoint_facts(recipe, manifest)

    def check_same_input(self, loaded: LoadedRun, recipe: AnyRecipe) -> None:
        """Raise InputError where data.length exceeds the position embeddings of the run's model."""
        most = loaded.model.base.config.max_position_embeddings  # type: ignore[union-attr]
        if recipe.data.length > most:
            raise InputError(
                f"data.length of --data must be {most} at most, the positions of the run's model, "
                f"got {recipe.data.length}. Lower it."
            )

    def draw_samples(self, loaded: LoadedRun) -> str:
        """Texts with the likeliest tokens at hidden positions, with a slider."""
        from r2mae.modalities.language.draw import draw_samples

        return draw_samples(loaded)

    def inference(self, loaded: LoadedRun) -> Inference:
        """Token ids and features of an exported model."""
        from r2mae.data.tokenizer import borders
        from r2mae.interop.text_inference import text_inference
        from r2mae.modalities.language.tokenizer import recipe_tokenizer

        tokenizer = recipe_tokenizer(loaded.recipe)
        return text_inference(loaded, tokenizer, *(borders(tokenizer) or (0, 0)))


WING = LanguageWing()
