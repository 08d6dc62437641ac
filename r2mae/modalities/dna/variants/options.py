"""Options of reading variants, of `score-variants` and of `evaluate --task variant_effect`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from r2mae.errors import InputError
from r2mae.options import parse_pairs, share


def add_variant_options(parser: ArgumentParser) -> None:
    """Options of reading variants."""
    reference = (
        "genome on which the variants were called, or an alignment for runs on "
        "alignments; default: the run's own"
    )
    parser.add_argument("--reference", metavar="FASTA", help=reference)
    column = "column of contig, position, ref or alt, e.g. position=pos_hg38"
    parser.add_argument(
        "--column", action="append", default=[], metavar="FIELD=NAME", help=column
    )
    alias = "contig name in the files = in the reference, e.g. chrM=NC_012920.1"
    parser.add_argument(
        "--alias", action="append", default=[], metavar="NAME=CONTIG", help=alias
    )
    first = "position of a contig's first base in tables: 0-based or 1-based; default 1"
    parser.add_argument("--first", type=int, choices=(0, 1), default=1, help=first)
    wrong = (
        "largest share of variants whose contig or REF is not the reference's; "
        "these are left out; default 0.01"
    )
    parser.add_argument(
        "--most-wrong", type=share, default=0.01, metavar="S", help=wrong
    )


def check_variant_options(arguments: Namespace) -> None:
    """Raise InputError for options of `add_variant_options` that are malformed, or name no file."""
    from r2mae.modalities.dna.splits import places_of

    for name in ("column", "alias"):
        parse_pairs(name, getattr(arguments, name))
    if arguments.reference is None:
        return
    try:
        places_of(Path(arguments.reference))
    except InputError as error:
        text = str(error).removeprefix("data.root ")
        raise InputError(f"--reference: {text}") from None
