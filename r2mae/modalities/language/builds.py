"""`r2mae data build text` and `tokenizer`, and what `data inspect` says of a store of tokens."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.progress import progress_bars, status_line
from r2mae.wing import Result

LEAST_VOCABULARY = 300
_ROW_LENGTHS = (128, 512)  # of which `inspect` tells how well rows are used


def add_text_arguments(parser: ArgumentParser) -> None:
    """Options of `data build text`."""
    parser.add_argument("out", metavar="OUT", help="folder of the store; absent")
    parser.add_argument(
        "--tokenizer", required=True, metavar="T", help="a folder, a hub id or a run"
    )
    _add_files(parser)


def add_tokenizer_arguments(parser: ArgumentParser) -> None:
    """Options of `data build tokenizer`."""
    parser.add_argument("out", metavar="OUT", help="folder of the tokenizer; absent")
    kinds = "byte-level BPE (default), or lower-cased WordPiece"
    parser.add_argument(
        "--kind", choices=("bpe", "wordpiece"), default="bpe", help=kinds
    )
    parser.add_argument(
        "--vocab-size", type=positive, default=30_000, metavar="V", help="default 30000"
    )
    _add_files(parser)


def _add_files(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="files, folders or globs"
    )
    card = "instead of files: a data card, of a hub data set for example"
    parser.add_argument("--card", metavar="CARD", help=card)
    parser.add_argument(
        "--column", default="text", metavar="NAME", help="of tables; default text"
    )
    parser.add_argument(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        help="of plain text; default utf-8",
    )
    document = "what of a plain text file is one document; default file"
    parser.add_argument(
        "--document",
        choices=("file", "paragraph", "line"),
        default="file",
        help=document,
    )


def build_text(arguments: Namespace) -> Path:
    """Build a store of tokens, or continue one."""
    from r2mae.modalities.language.build import build_text_store
    from r2mae.modalities.language.tokenizer import named_tokenizer

    out = Path(arguments.out)
    build_text_store(
        out, _texts(arguments), named_tokenizer(arguments.tokenizer), progress_bars()
    )
    return out


def build_tokenizer(arguments: Namespace) -> Path:
    """Train a tokenizer, and write it as transformers does."""
    from r2mae.data.folder import check_free, write_folder
    from r2mae.data.tokenizer import train_tokenizer
    from r2mae.modalities.language.splits import sample_texts

    out = Path(arguments.out)
    check_free(out)
    if arguments.vocab_size < LEAST_VOCABULARY:
        raise InputError(
            f"--vocab-size must be {LEAST_VOCABULARY} at least, got {arguments.vocab_size}."
        )
    with status_line("tokenizer") as status:
        status("training")
        tokenizer = train_tokenizer(
            sample_texts(_texts(arguments)), arguments.kind, arguments.vocab_size
        )
    write_folder(out, tokenizer.save_pretrained)
    return out


def _texts(arguments: Namespace) -> Any:
    from r2mae.data.text_files import check_encoding, expand_texts
    from r2mae.modalities.language.build import Texts
    from r2mae.modalities.language.schema import LanguageData
    from r2mae.modalities.language.splits import find_texts

    if bool(arguments.files) == (arguments.card is not None):
        raise InputError("FILE or --card must be given, one of them, got both or none.")
    if arguments.card is not None:
        return find_texts(
            LanguageData(
                card=arguments.card,
                column=arguments.column,
                document=arguments.document,
            )
        )
    check_encoding(arguments.encoding)
    options = {} if arguments.encoding == "utf-8" else {"encoding": arguments.encoding}
    return Texts(
        expand_texts(arguments.files), arguments.column, arguments.document, options
    )


def inspect_store(place: Path) -> Result:
    """What a store of tokens holds."""
    from r2mae.modalities.language.rows import PackedRows
    from r2mae.modalities.language.store import open_text_store

    store = open_text_store(place)
    report = {"store": str(store.place), **store.meta}
    report["utilisation"] = {
        str(length): PackedRows(store, length).utilisation for length in _ROW_LENGTHS
    }
    return report


def show_store(report: Result) -> None:
    """The report in a few lines."""
    print(
        f"{report['store']}: {report['tokens']:,} tokens of {report['documents']:,} documents, {report['dtype']}"
    )
    print(f"  vocabulary {report['vocab_size']:,}; fingerprint {report['fingerprint']}")
    for length, utilisation in report["utilisation"].items():
        print(
            f"  rows of {length}: {100 * utilisation:.2f} % of positions hold a token"
        )


def inspect_tokenizer(place: Path) -> Result:
    """What a tokenizer's folder holds."""
    from r2mae.data.tokenizer import load_tokenizer

    kind = json.loads((place / "tokenizer.json").read_text())["model"]["type"].lower()
    return {
        "tokenizer": str(place),
        "kind": kind,
        "vocab_size": len(load_tokenizer(str(place))),
    }


def show_tokenizer(report: Result) -> None:
    """The report in a line."""
    print(f"{report['tokenizer']}: {report['kind']} of {report['vocab_size']:,} tokens")
