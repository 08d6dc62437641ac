"""`r2mae data build cells`, and the report of `r2mae data inspect` on a store of cells."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.progress import progress_bars
from r2mae.wing import Result


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `data build cells`."""
    parser.add_argument("out", metavar="OUT", help="folder to create, the store")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help=".h5ad, 10x .h5, .mtx folders, or globs",
    )
    matrix = "matrix with the raw counts: X (default), raw or layers[NAME]"
    parser.add_argument("--matrix", default="X", help=matrix)
    genes_by = "column of var with the gene names; default: its index"
    parser.add_argument("--genes-by", default="index", metavar="COLUMN", help=genes_by)
    top_variable = "keep the K most variable genes"
    parser.add_argument("--top-variable", type=positive, metavar="K", help=top_variable)
    gene_list = "text file of the genes to keep, one a line, in the model's order"
    parser.add_argument("--gene-list", metavar="FILE", help=gene_list)
    minima = {
        "--min-cells": "keep genes with a count in N cells or more; default 1",
        "--min-genes": "keep cells with N genes or more; default 1",
        "--min-counts": "keep cells with N counts or more; default 1",
    }
    for option, text in minima.items():
        parser.add_argument(option, type=positive, default=1, metavar="N", help=text)


def build(arguments: Namespace) -> Path:
    """Build a store of cells, or resume an interrupted build."""
    from pydantic import ValidationError

    from r2mae.modalities.cell.data.build import build_store
    from r2mae.modalities.cell.data.scan import BuildOptions
    from r2mae.modalities.cell.data.splits import expand_paths
    from r2mae.modalities.cell.schema import GenesSection

    out = Path(arguments.out)
    try:
        genes = GenesSection(
            by=arguments.genes_by,
            min_cells=arguments.min_cells,
            top_variable=arguments.top_variable,
            names=arguments.gene_list,
        )
    except ValidationError as error:
        raise InputError(
            f"--gene-list {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    options = BuildOptions(
        arguments.matrix, "counts", genes, arguments.min_genes, arguments.min_counts
    )
    build_store(out, expand_paths(arguments.files), options, progress_bars("cells"))
    return out


def inspect_store(place: Path) -> Result:
    """The contents of a store of cells."""
    from r2mae.modalities.cell.data.store import open_store

    store = open_store(place)
    meta = store.meta
    columns = {name: column["categories"] for name, column in meta["obs"].items()}
    return {
        "store": str(store.path),
        "cells": len(store),
        "genes": len(meta["genes"]),
        "entries": meta["entries"],
        "density": meta["entries"] / max(1, len(store) * len(meta["genes"])),
        "values": meta["values"],
        "fingerprint": store.fingerprint,
        "files": [file | {"missing": len(file["missing"])} for file in meta["files"]],
        "obs": {
            name: None if names is None else len(names)
            for name, names in columns.items()
        },
    }


def show_store(report: Result) -> None:
    """Print the report."""
    print(
        f"{report['store']}: {report['cells']:,} cells x {report['genes']:,} genes, {report['density']:.1%} nonzero, "
        f"{report['values']}, fingerprint {report['fingerprint']}"
    )
    for file in report["files"]:
        print(
            f"  {file['path']} ({file['matrix']}): {file['kept']:,} of {file['cells']:,} cells, "
            f"{file['matched']:,} genes matched, {file['missing']:,} missing, "
            f"{file['left_out']:,} left out, 0 duplicated"
        )
    for name, classes in report["obs"].items():
        print(
            f"  obs {name}: " + ("numbers" if classes is None else f"{classes} classes")
        )
