"""`r2mae data build cell`, and the report of `r2mae data inspect` on a store of cells."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.progress import progress_bars
from r2mae.wing_commands import Result

if TYPE_CHECKING:
    from r2mae.modalities.cell.schema import CellData


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `data build cell`."""
    parser.add_argument("out", metavar="OUT", help="folder to create, the store")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help=".h5ad, .h5mu, .loom, 10x .h5, .zarr or .mtx folders, or globs",
    )
    add_reading_arguments(parser)
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


def add_reading_arguments(parser: ArgumentParser) -> None:
    """Options of `data build cell`, `embed` and `predict`; unset ones are None."""
    matrix = (
        "matrix of the counts: X, raw or layers[NAME]; of .h5mu also MODALITY:X; of "
        "Cell Ranger 2, the genome; default: X, or the recipe's"
    )
    parser.add_argument("--matrix", metavar="NAME", help=matrix)
    genes_by = "column of var with the gene names; default: its index, or the recipe's"
    parser.add_argument("--genes-by", metavar="COLUMN", help=genes_by)
    duplicates = "sum counts of genes with the same name"
    parser.add_argument(
        "--sum-duplicates", action="store_true", default=None, help=duplicates
    )
    rounding = "round counts that are not whole, as after SoupX"
    parser.add_argument(
        "--round-counts", action="store_true", default=None, help=rounding
    )


READING = ("matrix", "genes_by", "sum_duplicates", "round_counts")


def with_reading(data: "CellData", options: Mapping[str, Any]) -> "CellData":
    """The data section with options of `add_reading_arguments`, where they are not None, instead of its own.

    Raises: InputError for a value of another type.
    """
    given = {name: options[name] for name in READING if options.get(name) is not None}
    for name, value in given.items():
        expected = str if name in ("matrix", "genes_by") else bool
        if not isinstance(value, expected):
            rule = "a name" if expected is str else "True or False"
            raise InputError(f"{name} must be {rule}, got {value!r}.")
    genes = {"by": given.pop("genes_by")} if "genes_by" in given else {}
    if "sum_duplicates" in given:
        genes["duplicates"] = "sum" if given.pop("sum_duplicates") else "refuse"
    section = data.genes.model_copy(update=genes)
    return data.model_copy(update={"genes": section, **given})


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
            by=arguments.genes_by or "index",
            duplicates="sum" if arguments.sum_duplicates else "refuse",
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
        arguments.matrix or "X",
        "counts",
        bool(arguments.round_counts),
        genes,
        arguments.min_genes,
        arguments.min_counts,
    )
    build_store(out, expand_paths(arguments.files), options, progress_bars("cells"))
    return out


def inspect_store(place: Path) -> Result:
    """The contents of a store of cells."""
    from r2mae.modalities.cell.data.notes import reading_notes
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
        "notes": reading_notes(meta),
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
            f"{file['left_out']:,} left out"
        )
    for note in report["notes"]:
        print(f"  {note}")
    for name, classes in report["obs"].items():
        print(
            f"  obs {name}: " + ("numbers" if classes is None else f"{classes} classes")
        )
