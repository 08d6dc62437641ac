"""`r2mae data build dna` and `msa`, and `data inspect` of genomes and alignments."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from r2mae.progress import progress_bars
from r2mae.wing_commands import Result

_SHOWN = 30  # contigs listed


def _add_files(parser: ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder of the store to build")
    parser.add_argument("files", nargs="+", metavar="FILE", help="files or globs")


def add_genome_arguments(parser: ArgumentParser) -> None:
    """Options of `data build dna`."""
    _add_files(parser)
    names = "name contigs FILE:CONTIG, for files with the same contig names"
    parser.add_argument("--name-by-file", action="store_true", help=names)


def add_alignment_arguments(parser: ArgumentParser) -> None:
    """Options of `data build msa`."""
    _add_files(parser)
    reference = "reference species or record; default: the first of the first file"
    parser.add_argument("--reference", metavar="NAME", help=reference)
    genome = "genome of the reference, FASTA or store: bases outside all blocks"
    parser.add_argument("--genome", metavar="FASTA", help=genome)
    species = (
        "species to keep, comma-separated or in a file; default: all. "
        "Names that contain dots must be listed"
    )
    parser.add_argument("--species", metavar="NAMES", help=species)


def build_genome(arguments: Namespace) -> Path:
    """Build a genome's store."""
    from r2mae.modalities.dna.genome.build import build_genome_store
    from r2mae.modalities.dna.genome.files import expand_dna

    out, paths = Path(arguments.out), expand_dna(arguments.files)
    build_genome_store(
        out, paths, progress_bars("bytes"), name_by_file=arguments.name_by_file
    )
    return out


def build_alignment(arguments: Namespace) -> Path:
    """Build an alignment's store."""
    from r2mae.modalities.dna.alignment.build import build_alignment_store
    from r2mae.modalities.dna.genome.build import open_genome
    from r2mae.modalities.dna.genome.files import expand_dna

    out, paths, genome = Path(arguments.out), expand_dna(arguments.files), None
    if arguments.genome is not None:
        is_store = Path(arguments.genome).is_dir()
        genome = open_genome(
            [Path(arguments.genome)] if is_store else expand_dna([arguments.genome])
        )
    progress = progress_bars("bytes")
    build_alignment_store(
        out,
        paths,
        arguments.reference,
        genome,
        progress,
        species=_species(arguments.species),
    )
    return out


def _species(text: str | None) -> list[str]:
    """Names in a file, or comma-separated."""
    if text is None:
        return []
    if Path(text).is_file():
        return Path(text).read_text().split()
    return [name for name in text.split(",") if name]


def inspect_genome(place: Path) -> Result:
    """Report on a genome's store."""
    from r2mae.modalities.dna.genome.store import open_genome_store

    store = open_genome_store(place)
    return {"store": str(store.place), **store.meta}


def show_genome(report: Result) -> None:
    """Print the report."""
    counts = report["counts"]
    gc = (counts["C"] + counts["G"]) / max(1, report["bases"] - counts["N"])
    print(
        f"{report['store']}: {report['bases']:,} bases, contigs: {len(report['contigs']):,}, "
        f"{counts['N']:,} N, {report['soft_masked']:,} soft-masked, "
        f"{gc:.1%} GC, fingerprint {report['fingerprint']}"
    )
    if empty := report.get("empty_records"):
        print(f"  left out: {empty:,} records without bases")
    _show_contigs(report["contigs"])


def inspect_alignment(place: Path) -> Result:
    """Report on an alignment's store."""
    from r2mae.modalities.dna.alignment.store import open_alignment_store

    store = open_alignment_store(place)
    return {
        "store": str(store.place),
        **store.meta,
        "covered_share": store.share,
        "doubt": store.doubt,
        "left_out": store.odd_rows,
    }


def show_alignment(report: Result) -> None:
    """Print the report."""
    species = list(report["species"])
    print(
        f"{report['store']}: {len(species):,} species, "
        f"{report['positions']:,} bases of {species[0]}, {report['covered']:,} of them in "
        f"{report['blocks'] - report['without_reference']:,} blocks "
        f"({report['covered_share']:.1%}), fingerprint {report['fingerprint']}"
    )
    print(
        f"  left out: {report['without_reference']:,} blocks without the reference, "
        f"{report['repeated_rows']:,} repeated rows of a species; "
        f"{report['covered_twice']:,} bases in two blocks"
    )
    if report["left_out"]:
        print(f"  {report['left_out']}")
    if report["doubt"]:
        print(f"  {report['doubt']}")
    for name, bases in report["aligned"].items():
        print(f"  {name}: {bases:,} bases")
    _show_contigs(report["contigs"])


def _show_contigs(contigs: list[Any]) -> None:
    for name, length, *_ in contigs[:_SHOWN]:
        print(f"  contig {name}: {length:,} bases")
    if len(contigs) > _SHOWN:
        print(f"  and {len(contigs) - _SHOWN:,} more contigs")
