"""`r2mae data`: build what training reads from files as others write them, and say what is in it."""

import argparse
import json
from pathlib import Path
from typing import Any

from r2mae.cli.show import show_counted
from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """`build cells` or `inspect`."""
    {"build": build_cells, "inspect": inspect}[arguments.action](arguments)


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
    with show_counted("cells") as progress:
        build_store(out, expand_paths(arguments.files), options, progress)
    inspect(arguments)


def inspect(arguments: argparse.Namespace) -> None:
    """Print what a store holds."""
    from r2mae.datasets.cell_store import open_store

    store = open_store(Path(arguments.out))
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
