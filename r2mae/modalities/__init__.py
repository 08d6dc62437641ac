"""The table of wings: one line for each modality, imported when it is first asked for.

Other packages add a wing by an entry point of the group `r2mae.modalities`, whose name is the modality and whose
value is the `Wing` object.
"""

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from r2mae.errors import InputError

if TYPE_CHECKING:
    from r2mae.wing import Wing
    from r2mae.wing_commands import Build, Store, Subcommand

GROUP = "r2mae.modalities"
BUILT_IN = ("vision", "cell", "language", "dna", "algebra")

# What `--help` says without importing a wing. A test compares it with the wings.
# Name -> (wing, one line).
SUBCOMMANDS = {
    "reconstruct": ("vision", "draw masked and predicted images"),
    "fill": ("language", "predict the [MASK] tokens of a text"),
    "score-variants": (
        "dna",
        "score variants by log-likelihood ratio; the same command resumes",
    ),
}
# Tasks of `evaluate` beside the probes.
TASKS: dict[str, tuple[str, ...]] = {
    "vision": (),
    "cell": ("imputation", "clustering"),
    "language": ("masked",),
    "dna": ("masked", "variant_effect"),
    "algebra": ("spectrum", "vote", "lottery", "alignment_rates", "stages"),
}
BUILDS = {
    "cell": (
        "cell",
        ".h5ad, .h5mu, .loom, 10x .h5, .zarr or .mtx folders -> a store of cells",
    ),
    "language": ("language", ".txt, .jsonl, .csv, .tsv, .parquet -> a store of tokens"),
    "tokenizer": ("language", "texts -> a tokenizer's folder"),
    "dna": ("dna", "FASTA, also .gz, or tables of sequences -> a store of a genome"),
    "msa": ("dna", "MAF or aligned FASTA, also .gz -> a store of an alignment"),
}


def wing_names() -> tuple[str, ...]:
    """Modalities that a recipe may name: our own, then those of other packages."""
    return tuple(
        dict.fromkeys((*BUILT_IN, *(point.name for point in entry_points(group=GROUP))))
    )


@cache
def find_wing(name: str) -> "Wing":
    """The wing of a modality. Raises: InputError for a name that has none, or whose package does not load."""
    if name in BUILT_IN:
        wing: Wing = importlib.import_module(f"r2mae.modalities.{name}.wing").WING
        return wing
    others = (point for point in entry_points(group=GROUP) if point.name == name)
    entry = next(others, None)
    if entry is None:
        raise InputError(
            f"modality must be one of {', '.join(wing_names())}, got {name!r}."
        )
    try:
        loaded: Wing = entry.load()
    except Exception as error:
        package = entry.dist.name if entry.dist else "an unknown package"
        where = f"{entry.value} of {package}"
        raise InputError(
            f"modality {name} must load from {where}, got {type(error).__name__}: {error}."
        ) from error
    return loaded


def register_with_transformers() -> None:
    """Let transformers' Auto classes load exports of every wing without trust_remote_code.

    Calling it again does nothing.
    """
    import transformers

    for wing in map(find_wing, wing_names()):
        for model in wing.auto_classes():
            config, auto = model.config_class, getattr(transformers, model._auto_class)
            transformers.AutoConfig.register(config.model_type, config, exist_ok=True)
            auto.register(config, model, exist_ok=True)


def find_subcommand(name: str) -> "Subcommand | None":
    """The command of this name that one of the wings has; None where none has it."""
    if name in SUBCOMMANDS:
        return find_wing(SUBCOMMANDS[name][0]).subcommands[name]
    others = (find_wing(wing) for wing in wing_names() if wing not in BUILT_IN)
    return next(
        (wing.subcommands[name] for wing in others if name in wing.subcommands), None
    )


def find_builds() -> "dict[str, Build]":
    """Everything that `r2mae data build` can build, by kind, the wings of other packages included."""
    wings = {name: find_wing(name) for name in wing_names()}
    return {
        kind: build for wing in wings.values() for kind, build in wing.builds.items()
    }


def find_stores() -> "dict[str, Store]":
    """Every kind of store, by what `kind_of_path` calls it."""
    wings = {name: find_wing(name) for name in wing_names()}
    return {
        kind: store for wing in wings.values() for kind, store in wing.stores.items()
    }
