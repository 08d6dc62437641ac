"""`r2mae data`: build what training reads from files as others write them, and say what is in it."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2mae.cli.show import show_counted, show_text
from r2mae.errors import InputError

_SHOWN = 30  # contigs that are named


def run(arguments: argparse.Namespace) -> None:
    """`build cells`, `build text`, `build dna`, `build msa`, `tokenizer` or `inspect`."""
    kinds = {"cells": build_cells, "text": build_text, "dna": build_dna, "msa": build_msa}
    action = kinds[arguments.kind] if arguments.action == "build" else None
    with _stopped_by_sigterm():
        (action or {"tokenizer": make_tokenizer, "inspect": inspect}[arguments.action])(arguments)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends a build as Ctrl-C does: what cannot be gone on with is taken away; exit code 143."""

    def stop(number: int, _: object) -> None:
        print(f"r2mae: stopped by signal {number}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def build_cells(arguments: argparse.Namespace) -> None:
    """Build a store of cells, or go on with it."""
    from pydantic import ValidationError

    from r2mae.datasets.cell_build import BuildOptions, build_store
    from r2mae.datasets.cell_open import expand_paths
    from r2mae.schema.cell import GenesSection

    out = Path(arguments.out)
    if not out.parent.is_dir():
        out.parent.mkdir(parents=True)
    try:
        genes = GenesSection(
            by=arguments.genes_by,
            min_cells=arguments.min_cells,
            top_variable=arguments.top_variable,
            names=arguments.gene_list,
        )
    except ValidationError as error:
        raise InputError(f"--gene-list {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    options = BuildOptions(arguments.matrix, "counts", genes, arguments.min_genes, arguments.min_counts)
    build_store(out, expand_paths(arguments.files), options, show_counted("cells"))
    inspect(arguments)


def build_text(arguments: argparse.Namespace) -> None:
    """Build a store of tokens, or go on with it."""
    from r2mae.datasets.text_build import build_text_store
    from r2mae.recipe.language import named_tokenizer

    tokenizer = named_tokenizer(arguments.tokenizer)
    build_text_store(Path(arguments.out), _texts(arguments), tokenizer, show_counted())
    inspect(arguments)


def _texts(arguments: argparse.Namespace) -> Any:
    from r2mae.datasets.language_open import find_texts
    from r2mae.datasets.text_build import Texts
    from r2mae.datasets.text_files import check_encoding, expand_texts
    from r2mae.schema.language import LanguageData

    if bool(arguments.files) == (arguments.card is not None):
        raise InputError("FILE or --card must be given, one of them, got both or none.")
    if arguments.card is not None:
        return find_texts(LanguageData(card=arguments.card, column=arguments.column, document=arguments.document))
    check_encoding(arguments.encoding)
    options = {} if arguments.encoding == "utf-8" else {"encoding": arguments.encoding}
    return Texts(expand_texts(arguments.files), arguments.column, arguments.document, options)


def build_dna(arguments: argparse.Namespace) -> None:
    """Build a genome's store."""
    from r2mae.datasets.dna_files import expand_dna
    from r2mae.datasets.genome_build import build_genome_store

    paths = expand_dna(arguments.files)
    build_genome_store(Path(arguments.out), paths, show_counted("bytes"), name_by_file=arguments.name_by_file)
    inspect(arguments)


def build_msa(arguments: argparse.Namespace) -> None:
    """Build an alignment's store."""
    from r2mae.datasets.alignment_build import build_alignment_store
    from r2mae.datasets.dna_files import expand_dna
    from r2mae.datasets.genome_build import open_genome

    paths, genome = expand_dna(arguments.files), None
    if arguments.genome is not None:
        is_store = Path(arguments.genome).is_dir()
        genome = open_genome([Path(arguments.genome)] if is_store else expand_dna([arguments.genome]))
    named = arguments.species or ""
    species = Path(named).read_text().split() if Path(named).is_file() else [name for name in named.split(",") if name]
    heard = show_counted("bytes")
    build_alignment_store(Path(arguments.out), paths, arguments.reference, genome, heard, species=species)
    inspect(arguments)


def make_tokenizer(arguments: argparse.Namespace) -> None:
    """Train a tokenizer, and write it as transformers does."""
    from r2mae.datasets.language_open import sample_texts
    from r2mae.datasets.tokenizer import train_tokenizer
    from r2mae.interop.folder import check_free, write_folder

    out = Path(arguments.out)
    check_free(out)
    if arguments.vocab_size < 300:
        raise InputError(f"--vocab-size must be 300 at least, got {arguments.vocab_size}.")
    with show_text("tokenizer") as say:
        say("training")
        tokenizer = train_tokenizer(sample_texts(_texts(arguments)), arguments.kind, arguments.vocab_size)
    write_folder(out, tokenizer.save_pretrained)
    result = {"tokenizer": str(out), "kind": arguments.kind, "vocab_size": len(tokenizer)}
    print(json.dumps(result) if arguments.json else f"{out}: {arguments.kind} of {len(tokenizer):,} tokens")


def inspect(arguments: argparse.Namespace) -> None:
    """Print what a store holds."""
    from r2mae.datasets import kinds
    from r2mae.datasets.cell_store import open_store

    place = Path(arguments.out)
    kind = kinds.kind_of_path(place)
    shown = {kinds.TEXT: inspect_text, kinds.GENOME: inspect_genome, kinds.ALIGNMENT: inspect_alignment}
    if kind in shown:
        shown[kind](arguments)
        return
    if kind != kinds.CELLS:
        raise InputError(f"{place} must be a store, got {kind}. {kinds.remedy_for(kind)}")
    store = open_store(place)
    meta = store.meta
    report: dict[str, Any] = {
        "store": str(store.path),
        "cells": len(store),
        "genes": len(meta["genes"]),
        "entries": meta["entries"],
        "density": meta["entries"] / max(1, len(store) * len(meta["genes"])),
        "values": meta["values"],
        "fingerprint": store.fingerprint,
        "files": [file | {"missing": len(file["missing"])} for file in meta["files"]],
        "obs": {
            name: column["categories"] if column["categories"] is None else len(column["categories"])
            for name, column in meta["obs"].items()
        },
    }
    if arguments.json:
        print(json.dumps(report))
        return
    print(
        f"{report['store']}: {report['cells']:,} cells x {report['genes']:,} genes, {report['density']:.1%} not zero, "
        f"{report['values']}, fingerprint {report['fingerprint']}"
    )
    for file in report["files"]:
        print(
            f"  {file['path']} ({file['matrix']}): {file['kept']:,} of {file['cells']:,} cells, "
            f"{file['matched']:,} genes matched, {file['missing']:,} missing, "
            f"{file['left_out']:,} left out, 0 duplicated"
        )
    for name, classes in report["obs"].items():
        print(f"  obs {name}: " + ("numbers" if classes is None else f"{classes} classes"))


def inspect_text(arguments: argparse.Namespace) -> None:
    """Print what a store of tokens holds."""
    from r2mae.datasets.language import PackedRows
    from r2mae.datasets.text_store import open_text_store

    store = open_text_store(Path(arguments.out))
    report = {"store": str(store.place), **store.meta}
    report["utilisation"] = {str(length): PackedRows(store, length).utilisation for length in (128, 512)}
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"{store.place}: {report['tokens']:,} tokens of {report['documents']:,} documents, {report['dtype']}")
    print(f"  vocabulary {report['vocab_size']:,}; fingerprint {report['fingerprint']}")
    for length, share in report["utilisation"].items():
        print(f"  rows of {length}: {100 * share:.2f} % of positions hold a token")


def inspect_genome(arguments: argparse.Namespace) -> None:
    """Print what a genome's store holds."""
    from r2mae.datasets.genome_store import open_genome_store

    store = open_genome_store(Path(arguments.out))
    if arguments.json:
        print(json.dumps({"store": str(store.place), **store.meta}))
        return
    known = store.meta["bases"] - store.meta["counts"]["N"]
    strong = store.meta["counts"]["C"] + store.meta["counts"]["G"]
    print(
        f"{store.place}: {store.meta['bases']:,} bases, contigs: {len(store.contigs):,}, "
        f"{store.meta['counts']['N']:,} unknown, {store.meta['soft_masked']:,} soft-masked, "
        f"{strong / max(1, known):.1%} G or C, fingerprint {store.fingerprint}"
    )
    _print_contigs(store.contigs)


def inspect_alignment(arguments: argparse.Namespace) -> None:
    """Print what an alignment's store holds."""
    from r2mae.datasets.alignment_store import open_alignment_store

    store = open_alignment_store(Path(arguments.out))
    meta = store.meta
    if arguments.json:
        print(json.dumps({"store": str(store.place), **meta, "covered_share": store.share}))
        return
    print(
        f"{store.place}: {len(store.species):,} species along {meta['positions']:,} bases of {store.species[0]}, "
        f"{meta['covered']:,} of them in {meta['blocks'] - meta['without_reference']:,} blocks ({store.share:.1%}), "
        f"fingerprint {store.fingerprint}"
    )
    print(
        f"  left out: {meta['without_reference']:,} blocks without the reference, "
        f"{meta['repeated_rows']:,} further rows of a species; {meta['covered_twice']:,} bases in two blocks"
    )
    if store.doubt:
        print(f"  {store.doubt}")
    for name, bases in meta["aligned"].items():
        print(f"  {name}: {bases:,} bases")
    _print_contigs(store.contigs)


def _print_contigs(contigs: list[Any]) -> None:
    for contig in contigs[:_SHOWN]:
        print(f"  contig {contig.name}: {contig.length:,} bases")
    if len(contigs) > _SHOWN:
        print(f"  and {len(contigs) - _SHOWN:,} more contigs")
