"""Start a cell transformer from the gene embeddings of scGPT, matched by gene name.

A folder of scGPT has vocab.json ({gene: row}), args.json (embsize and more) and
best_model.pt (a state dict).

Shapes: V tokens of scGPT's vocabulary, G genes of the run, D width.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from r2mae.errors import InputError, first_line
from r2mae.modalities.cell.data.features import without_version

_VOCABULARY, _ARGUMENTS, _WEIGHTS = "vocab.json", "args.json", "best_model.pt"
_TABLE = "encoder.embedding.weight"
_NORM = ("encoder.enc_norm.weight", "encoder.enc_norm.bias")
_LEAST_GENES = 0.5  # share of a run's genes that a vocabulary must hold


def is_scgpt(source: str | None) -> bool:
    """Whether a path is a folder of scGPT."""
    return source is not None and all(
        (Path(source) / name).is_file() for name in (_VOCABULARY, _WEIGHTS)
    )


def start_from_scgpt(model: Any, source: str, genes: list[str]) -> nn.Module:
    """Set the gene embeddings of a cell transformer to those of scGPT.

    genes: (G,) of the model, in its order. Those that scGPT lacks keep their random ones.

    Raises: InputError for another model or width, or a vocabulary without half of the genes.
    """
    from r2mae.training.start import record_start

    where = f"model.init_from {source!r}"
    if not hasattr(model, "embed_genes"):
        raise InputError(
            f"model.encoder must be transformer to start from the gene embeddings of {source!r}, "
            "got mlp, which has none. Set it to transformer."
        )
    rows = _read_rows(Path(source), where)
    table, others = _read_table(Path(source), where)
    own = model.embed_genes.weight
    if table.shape[1] != own.shape[1]:
        raise InputError(
            f"model.width must be {table.shape[1]}, the embsize of {source!r}, got {own.shape[1]}. Set it so."
        )
    if min(rows.values()) < 0 or max(rows.values()) >= len(table):
        raise InputError(
            f"{where} must have a row of {_TABLE} for each gene of {_VOCABULARY}, "
            f"got {len(table):,} rows and ids up to {max(rows.values()):,}."
        )
    row = _match_genes(genes, rows, where).to(table.device)
    is_matched = row >= 0
    with torch.no_grad():
        own[is_matched] = table[row[is_matched]].to(own)
    count = int(is_matched.sum())
    share = f"{count:,} of {len(genes):,} genes found, {count / len(genes):.0%}"
    record_start(model, f"{source} ({share})", ["embed_genes.weight"], others)
    started: nn.Module = model
    return started


def _match_genes(genes: list[str], rows: dict[str, int], where: str) -> Tensor:
    """(G,) row of each gene, -1 where there is none. Raises: InputError if most have none."""
    row = torch.tensor(
        [rows.get(without_version(gene), -1) for gene in genes], device="cpu"
    )
    missing = [gene for gene, at in zip(genes, row.tolist(), strict=True) if at < 0]
    count = len(genes) - len(missing)
    if count < _LEAST_GENES * len(genes):
        raise InputError(
            f"{where} must hold at least half of the run's {len(genes):,} genes, got {count:,}; "
            f"{', '.join(missing[:3])} are missing. Name genes as it does, with data.genes.by."
        )
    return row


def _read_rows(folder: Path, where: str) -> dict[str, int]:
    """{gene: row of the table}. Raises: InputError unless each gene has a row of its own."""
    rows = _read_json(folder / _VOCABULARY, where)
    is_number = [type(row) is int for row in rows.values()]
    if not rows or not all(is_number) or len({*rows.values()}) < len(rows):
        raise InputError(
            f"{where} must have a {_VOCABULARY} that gives each gene a row of its own, got another. "
            "Give the folder as scGPT publishes it."
        )
    return {without_version(gene): row for gene, row in rows.items()}


def _read_json(path: Path, where: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where} must have a readable {path.name}, got: {first_line(error)}."
        ) from None
    return content if isinstance(content, dict) else {}


def _read_table(folder: Path, where: str) -> tuple[Tensor, list[str]]:
    """((V, D) embeddings as scGPT's transformer reads them, names of its other weights).

    They are normalized by the LayerNorm that follows the table.

    Raises: InputError for a file without them, or of another width than args.json says.
    """
    from r2mae.interop.tensor_file import read_tensor_file

    try:
        state = read_tensor_file(folder / _WEIGHTS)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{where} must have a readable {_WEIGHTS}, got: {first_line(error)}."
        ) from None
    missing = [name for name in (_TABLE, *_NORM) if name not in state]
    if missing:
        raise InputError(
            f"{where} must hold the gene embeddings of scGPT in {_WEIGHTS}, got no {missing[0]}."
        )
    table, scale, shift = (state[name].float() for name in (_TABLE, *_NORM))
    width = _read_json(folder / _ARGUMENTS, where).get("embsize")
    if width != table.shape[1]:
        raise InputError(
            f"{where} must have embeddings as wide as embsize in {_ARGUMENTS}, {width}, got {table.shape[1]}."
        )
    others = [name for name in state if name not in (_TABLE, *_NORM)]
    return F.layer_norm(table, scale.shape, scale, shift), others
