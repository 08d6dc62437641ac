"""The DNA wing: genomes, alignments, labelled sequences and variant effects."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.interop.exports import Export
from r2mae.loaded_run import LoadedRun
from r2mae.modalities.dna import builds, export, tasks
from r2mae.modalities.dna.schema import DnaFinetuneRecipe, DnaPretrainRecipe
from r2mae.modalities.dna.variants import effect, subcommand
from r2mae.wing import Wing
from r2mae.wing_commands import Build, Store, Subcommand, Task

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.interop.inference import Inference
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.training.order0 import NaiveLoss

_TASKS = {
    "masked": Task(
        "cross-entropy on masked bases, compared with counts of contexts and columns",
        tasks.score,
        tasks.show_scores,
        tasks.add_arguments,
        check=tasks.check,
    ),
    "variant_effect": Task(
        "AUROC and AUPRC on labelled variants, compared with transversions, counts of "
        "columns and phyloP",
        effect.evaluate,
        effect.show_scores,
        effect.add_arguments,
        check=effect.check,
        reads_splits=False,
    ),
}
_DEMO = Task(
    "masked bases, and recovery of planted motifs",
    tasks.run_demo,
    tasks.show_demo,
    conclude=tasks.conclude_demo,
    check=tasks.check_demo,
)
_SUBCOMMANDS = {
    "score-variants": Subcommand(
        "score variants by log-likelihood ratio; the same command resumes",
        subcommand.run,
        subcommand.add_arguments,
        subcommand.check,
    )
}
_EXPORTS = {
    "transformers": Export(
        export.export_to_transformers, export.load_with, "transformers"
    )
}
_BUILDS = {
    "dna": Build(
        "FASTA or tables of sequences -> a genome's store",
        builds.add_genome_arguments,
        builds.build_genome,
    ),
    "msa": Build(
        "MAF or aligned FASTA -> an alignment's store, by position of the reference",
        builds.add_alignment_arguments,
        builds.build_alignment,
    ),
}
_STORES = {
    "a genome's store": Store(builds.inspect_genome, builds.show_genome),
    "an alignment's store": Store(builds.inspect_alignment, builds.show_alignment),
}


_PATH_OPTIONS: dict[str, dict[str, Any]] = {
    "--column": {
        "metavar": "NAME",
        "help": "sequence column of a table; default: the recipe's",
    },
    "--records": {
        "action": "store_true",
        "help": "a row for each sequence, of any length, instead of each window; default "
        "where no sequence is as long as a window",
    },
    "--regions": {
        "action": "append",
        "default": [],
        "metavar": "REGION",
        "help": "a row for each region of a genome: chr1:1001-2000 or FILE.bed",
    },
    "--alias": {
        "action": "append",
        "default": [],
        "metavar": "NAME=CONTIG",
        "help": "contig name in a BED file = in the genome, e.g. chrM=NC_012920.1",
    },
}


class DnaWing(Wing):
    """DNA: pretrain on windows of genomes or alignments, fine-tune on labelled sequences."""

    name = "dna"
    pretrain_recipe = DnaPretrainRecipe
    finetune_recipe = DnaFinetuneRecipe
    baseline_name = "counts of 5-mers"
    tasks = _TASKS
    demo = _DEMO
    subcommands = _SUBCOMMANDS
    exports = _EXPORTS
    builds = _BUILDS
    stores = _STORES

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Windows, or labelled sequences."""
        from r2mae.modalities.dna import recipe_data

        return recipe_data.open_split(recipe, split)

    def draws_test_split(self, recipe: AnyRecipe) -> bool:
        """Tables of fine-tuning have a test split of their own."""
        return recipe.task == "pretrain"

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """Windows or regions of a genome, or sequences of a table, FASTA or lines."""
        from r2mae.modalities.dna import user_data

        return user_data.open_paths(recipe, paths, arguments)

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """Sequences as strings of IUPAC letters."""
        from r2mae.modalities.dna import user_data

        return user_data.open_objects(recipe, objects)

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """`--column`, `--records`, `--regions` and `--alias`."""
        for flag, options in _PATH_OPTIONS.items():
            parser.add_argument(flag, **options)

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """Bases in windows, and an alignment's species with the share of bases in blocks."""
        from r2mae.modalities.dna import recipe_data

        return recipe_data.describe_data(recipe)

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """Windows, since cards of genomes list bases; sequences as listed."""
        if recipe.task != "pretrain":
            return listed
        stride: int = recipe.data.stride or recipe.data.length
        return round(listed / stride)

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """A random genome or alignment, or labelled random sequences."""
        from r2mae.modalities.dna.stand_in import stand_in

        return stand_in(recipe, folder)

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """Dilated convolutions, or a transformer over bases or k-mers."""
        from r2mae.modalities.dna import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The same encoder without the head."""
        from r2mae.modalities.dna import assembly

        return assembly.build_encoder(recipe)

    def naive_loss(
        self, recipe: AnyRecipe, train: SampleSource, held_out: SampleSource
    ) -> NaiveLoss | None:
        """Of a table of P(base | the other species' bases of the column), on an alignment."""
        from r2mae.modalities.dna.column_counts import column_loss
        from r2mae.training.order0 import NaiveLoss

        if recipe.data.alignment is None:
            return None
        return NaiveLoss(
            column_loss(train, held_out),
            "predicting every base by a table of the other species' bases of its column",
        )

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """A transformer's tokenizer and configuration, an alignment's species."""
        from r2mae.modalities.dna import assembly

        return assembly.checkpoint_facts(recipe)

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe with the tokenizer, configuration and species of a checkpoint."""
        from r2mae.modalities.dna import assembly

        return assembly.with_checkpoint_facts(recipe, manifest)

    def draw_samples(self, loaded: LoadedRun) -> str:
        """Logos of the expected bases at hidden positions, with a slider."""
        from r2mae.modalities.dna.draw import draw_samples

        return draw_samples(loaded)

    def auto_classes(self) -> list[Any]:
        """Exported convolutions, and classifiers."""
        from r2mae.modalities.dna import modeling_dna_conv as theirs

        return [theirs.DnaConvModel, theirs.DnaConvForSequenceClassification]

    def inference(self, loaded: LoadedRun) -> Inference:
        """Inputs and features of an exported model."""
        from r2mae.modalities.dna.inference import dna_inference

        return dna_inference(loaded)


WING = DnaWing()
