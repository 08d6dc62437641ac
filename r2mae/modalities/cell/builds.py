"""`r2mae data build cells`, and what `data inspect` says of a store of cells."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.progress import progress_bars
from r2mae.wing import Result


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `data build cells`."""
    parser.add_argument("out", metavar="OUT", help="folder of the store; absent")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="files, folders or globs"
    )
    parser.add_argument(
        "--matrix", default="X", help="X (default), raw or layers[NAME]: raw counts"
    )
    genes_by = "of var, what names genes; default: its index"
    parser.add_argument("--genes-by", default="index", metavar="COLUMN", help=genes_by)
    parser.add_argument(
        "--min-cells",
        type=positive,
        default=1,
        metavar="N",
        help="that a gene is seen in; default 1",
    )
    parser.add_argument(
        "--top-variable",
        type=positive,
        metavar="K",
        help="the K most variable of these genes",
    )
    parser.add_argument(
        "--gene-list", metavar="FILE", help="these genes, one a line, in this order"
    )
    parser.add_argument(
        "--min-genes",
        type=positive,
        default=1,
        metavar="N",
        help="of a cell; default 1",
    )
    parser.add_argument(
        "--min-counts",
        type=positive,
        default=1,
        metavar="N",
        help="of a cell; default 1",
    )


def build(arguments: Namespace) -> Path:
    """Build a store of cells, or continue one."""
    from pydantic import ValidationError

    from r2mae.modalities.cell.data.build import BuildOptions, build_store
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
    """What a store of cells holds."""
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
    """The report in a few lines."""
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
        print(
            f"  obs {name}: " + ("numbers" if classes is None else f"{classes} classes")
        )
