"""`r2mae data build language` and `data build tokenizer`, and their reports in `r2mae data inspect`."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.options import positive
from r2mae.progress import progress_bars, status_line
from r2mae.wing_commands import Result

LEAST_VOCABULARY = 300
_ROW_LENGTHS = (
    128,
    512,
)  # for which `inspect` reports the share of positions with a token


def add_text_arguments(parser: ArgumentParser) -> None:
    """Options of `data build language`."""
    parser.add_argument("out", metavar="OUT", help="folder to create, the store")
    parser.add_argument(
        "--tokenizer",
        required=True,
        metavar="T",
        help="tokenizer: a folder, a hub id or a run",
    )
    _add_files(parser)


def add_tokenizer_arguments(parser: ArgumentParser) -> None:
    """Options of `data build tokenizer`."""
    parser.add_argument("out", metavar="OUT", help="folder to create, the tokenizer")
    algorithm = "byte-level BPE (default), or lower-cased WordPiece"
    parser.add_argument(
        "--kind", choices=("bpe", "wordpiece"), default="bpe", help=algorithm
    )
    parser.add_argument(
        "--vocab-size",
        type=positive,
        default=30_000,
        metavar="V",
        help="tokens; default 30000",
    )
    _add_files(parser)


def add_skip_bad_rows(parser: ArgumentParser) -> None:
    """`--skip-bad-rows`."""
    text = (
        "leave out rows of tables that are malformed or hold no text, and count them; "
        "a table of more than half such rows is refused"
    )
    parser.add_argument("--skip-bad-rows", action="store_true", help=text)


def _add_files(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="text files, tables, folders or globs"
    )
    card = "data card instead of files, such as that of a hub data set"
    parser.add_argument("--card", metavar="CARD", help=card)
    parser.add_argument(
        "--column",
        default="text",
        metavar="NAME",
        help="column of tables; a.b is the entry b of objects in column a; default text",
    )
    parser.add_argument(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        help="encoding of files without a byte order mark; default utf-8",
    )
    add_skip_bad_rows(parser)
    document = "unit of a plain text file that is one document; default file"
    parser.add_argument(
        "--document",
        choices=("file", "paragraph", "line"),
        default="file",
        help=document,
    )


def build_text(arguments: Namespace) -> Path:
    """Build a store of tokens, or resume an interrupted build."""
    from r2mae.modalities.language.build import build_text_store
    from r2mae.modalities.language.tokenizer import named_tokenizer

    out, texts = Path(arguments.out), _texts(arguments)
    tokenizer = named_tokenizer(arguments.tokenizer)
    build_text_store(out, texts, tokenizer, progress_bars())
    _report_skipped(texts)
    return out


def build_tokenizer(arguments: Namespace) -> Path:
    """Train a tokenizer and save it in the format of transformers."""
    from r2mae.data.atomic import atomic_folder, check_free
    from r2mae.data.tokenizer import save_tokenizer
    from r2mae.data.tokenizer_training import train_tokenizer
    from r2mae.modalities.language.splits import sample_texts

    out = Path(arguments.out)
    check_free(out)
    if arguments.vocab_size < LEAST_VOCABULARY:
        raise InputError(
            f"--vocab-size must be at least {LEAST_VOCABULARY}, got {arguments.vocab_size}."
        )
    texts = _texts(arguments)
    with status_line("tokenizer") as status:
        status("training")
        tokenizer = train_tokenizer(
            sample_texts(texts), arguments.kind, arguments.vocab_size
        )
    _report_skipped(texts)
    with atomic_folder(out) as unfinished:
        save_tokenizer(tokenizer, unfinished)
    return out


def _report_skipped(texts: Any) -> None:
    """Report on stderr the rows that were left out."""
    if note := texts.bad_rows.note:
        print(f"left out: {note}", file=sys.stderr)


def _texts(arguments: Namespace) -> Any:
    from r2mae.data.bad_rows import SKIP_OPTION, BadRows
    from r2mae.data.text_files import expand_texts
    from r2mae.data.text_stream import check_encoding
    from r2mae.modalities.language.build import Texts
    from r2mae.modalities.language.schema import LanguageData
    from r2mae.modalities.language.texts import find_texts

    if bool(arguments.files) == (arguments.card is not None):
        raise InputError(
            "FILE or --card must be given, exactly one of them, got both or neither."
        )
    bad_rows = BadRows(skip=arguments.skip_bad_rows, remedy=SKIP_OPTION)
    column, document = arguments.column, arguments.document
    if arguments.card is not None:
        data = LanguageData(card=arguments.card, column=column, document=document)
        return find_texts(data)._replace(bad_rows=bad_rows)
    check_encoding(arguments.encoding)
    options = {} if arguments.encoding == "utf-8" else {"encoding": arguments.encoding}
    paths = expand_texts(arguments.files)
    return Texts(paths, column, document, options, bad_rows=bad_rows)


def inspect_store(place: Path) -> Result:
    """The contents of a store of tokens."""
    from r2mae.modalities.language.rows import PackedRows
    from r2mae.modalities.language.store import open_text_store

    store = open_text_store(place)
    report = {"store": str(store.place), **store.meta}
    report["utilisation"] = {
        str(length): PackedRows(store, length).utilisation for length in _ROW_LENGTHS
    }
    return report


def show_store(report: Result) -> None:
    """Print the report."""
    print(
        f"{report['store']}: {report['tokens']:,} tokens of {report['documents']:,} documents, {report['dtype']}"
    )
    print(f"  vocabulary {report['vocab_size']:,}; fingerprint {report['fingerprint']}")
    if report.get("unknown_tokens"):
        share = 100 * report["unknown_tokens"] / report["tokens"]
        print(f"  {share:.3g} % of tokens are unknown to the tokenizer")
    if report.get("skipped_rows"):
        print(f"  {report['skipped_rows']:,} bad rows were left out")
    for length, utilisation in report["utilisation"].items():
        print(
            f"  rows of {length}: {100 * utilisation:.2f} % of positions hold a token"
        )


def inspect_tokenizer(place: Path) -> Result:
    """The algorithm and vocabulary size of a tokenizer's folder."""
    from r2mae.data.tokenizer import load_tokenizer

    kind = json.loads((place / "tokenizer.json").read_text())["model"]["type"].lower()
    return {
        "tokenizer": str(place),
        "kind": kind,
        "vocab_size": len(load_tokenizer(str(place))),
    }


def show_tokenizer(report: Result) -> None:
    """Print the report."""
    print(f"{report['tokenizer']}: {report['kind']} of {report['vocab_size']:,} tokens")
