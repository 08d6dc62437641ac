"""The DNA wing: genomes and alignments, labelled sequences, effects of variants."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from r2mae.modalities.dna import builds, export, tasks
from r2mae.modalities.dna.schema import DnaFinetuneRecipe, DnaPretrainRecipe
from r2mae.modalities.dna.variants import effect, verb
from r2mae.wing import Build, Export, Store, Task, Verb, Wing

if TYPE_CHECKING:
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe

_TASKS = {
    "masked": Task(
        "predict hidden bases of the test split, against counts of contexts",
        tasks.score,
        tasks.show_scores,
        tasks.add_arguments,
    ),
    "variant_effect": Task(
        "rank labelled variants, against transversions and phyloP",
        effect.evaluate,
        effect.show_scores,
        effect.add_arguments,
    ),
}
_DEMO = Task("hidden bases, and planted motifs", tasks.run_demo, tasks.show_demo)
_VERBS = {
    "score-variants": Verb(
        "log-likelihood ratio of ALT against REF; the same command continues it",
        verb.run,
        verb.add_arguments,
        verb.check,
    )
}
_EXPORTS = {"transformers": Export(export.export_to_transformers, export.load_with)}
_BUILDS = {
    "dna": Build(
        "sequences -> a store of a genome",
        builds.add_genome_arguments,
        builds.build_genome,
    ),
    "msa": Build(
        "MAF or aligned FASTA -> a store of what stands at a reference's bases in other species",
        builds.add_alignment_arguments,
        builds.build_alignment,
    ),
}
_STORES = {
    "a genome's store": Store(builds.inspect_genome, builds.show_genome),
    "an alignment's store": Store(builds.inspect_alignment, builds.show_alignment),
}


class DnaWing(Wing):
    """DNA: windows of genomes or alignments to pretrain, labelled sequences to fine-tune."""

    name = "dna"
    pretrain_recipe = DnaPretrainRecipe
    finetune_recipe = DnaFinetuneRecipe
    baseline_name = "counts of 5-mers"
    tasks = _TASKS
    demo = _DEMO
    verbs = _VERBS
    exports = _EXPORTS
    builds = _BUILDS
    stores = _STORES

    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """Windows, or labelled sequences."""
        from r2mae.modalities.dna import assembly

        return assembly.open_split(recipe, split)

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """Windows of a genome's file, or sequences of a table or FASTA."""
        from r2mae.modalities.dna import assembly

        return assembly.open_paths(recipe, paths, arguments.column)

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """A list of sequences of IUPAC letters."""
        from r2mae.modalities.dna import assembly

        return assembly.open_objects(recipe, objects)

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """`--column`."""
        parser.add_argument(
            "--column",
            metavar="NAME",
            help="of a table of sequences; by default the recipe's",
        )

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """Of an alignment: how many species, and how much of the reference blocks reach."""
        from r2mae.modalities.dna import assembly

        return assembly.describe_alignment(recipe)

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """Cards of genomes list bases; a pretraining sample is a window of them."""
        if recipe.task != "pretrain":
            return listed
        stride: int = recipe.data.stride or recipe.data.length
        return round(listed / stride)

    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """Dilated convolutions, or a transformer over bases or k-mers."""
        from r2mae.modalities.dna import assembly

        return assembly.build_masked(recipe)

    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The same without what predicts."""
        from r2mae.modalities.dna import assembly

        return assembly.build_encoder(recipe)

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """Tokenizer and configuration of a transformer, species of an alignment."""
        from r2mae.modalities.dna import assembly

        return assembly.checkpoint_facts(recipe)

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe with the tokenizer, configuration and species of a checkpoint."""
        from r2mae.modalities.dna import assembly

        return assembly.with_checkpoint_facts(recipe, manifest)


WING = DnaWing()
