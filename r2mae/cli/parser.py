"""The command line of `r2mae`: verbs and their options. Imports nothing heavy."""

import argparse
import math
from typing import Any, NoReturn

from r2mae import __version__


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; imports no heavy library."""
    parser = _Parser(prog="r2mae", description="Masked pretraining with random mask ratios.")
    parser.add_argument("--version", action="version", version=f"r2mae {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        return added

    def recipe(added: argparse.ArgumentParser, many: bool = False) -> None:
        added.add_argument("recipe", nargs="+" if many else None, metavar="RECIPE", help="a recipe file")
        added.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. seed=1")

    def run(added: argparse.ArgumentParser) -> None:
        added.add_argument("run", metavar="RUN", help="a run folder, such as runs/digits_demo")
        added.add_argument("--checkpoint", default="last", help="last (default), best or step_<n>")

    pretrain = verb("pretrain", "train a recipe; the same command continues it")
    recipe(pretrain)
    pretrain.add_argument("--name", help="of the run folder below runs/; default: the recipe's file name")
    pretrain.add_argument("--fresh", action="store_true", help="set an earlier run aside and start over")

    pretrain.add_argument("--trace", action="store_true", help="write trace.jsonl: order, masks and loss of every step")

    finetune = verb("finetune", "train a classifier on an encoder; the same command continues it")
    recipe(finetune)
    finetune.add_argument("--name", help="of the folder below runs/; default: the recipe's file name")
    finetune.add_argument("--fresh", action="store_true", help="set earlier runs aside and start over")
    finetune.add_argument("--seeds", type=_positive, metavar="N", help="runs with N seeds; overrides repeat.seeds")
    finetune.add_argument(
        "--labels-per-class", metavar="N,N,all", help="few-label runs; overrides repeat.labels_per_class"
    )
    finetune.add_argument("--against", metavar="TABLE", help="paired differences from another folder of the same runs")

    recipe(verb("check", "show what a recipe means and costs; train nothing"), many=True)

    verify = verb(
        "verify-resume", "kill a recipe's short runs, continue them elsewhere, and compare with unkilled ones"
    )
    recipe(verify)
    verify.add_argument("--kill-at", default="7,13", type=_steps, metavar="N,N", help="steps; default 7,13")
    verify.add_argument("--devices", default="1,2", type=_steps, metavar="N,N", help="counts; default 1,2")

    replay = verb("replay", "repeat a step that was not finite, and name the module where it began")
    replay.add_argument("run", metavar="RUN", help="a run folder with nonfinite.jsonl")
    replay.add_argument("--step", type=_positive, help="default: the last one that was not finite")

    mask = verb("mask", "show what would be hidden")
    recipe(mask)
    mask.add_argument("--steps", default="0:3", metavar="A:B", help="optimizer steps")
    mask.add_argument("--positions", default="0:2", metavar="A:B", help="samples of each step, from 0")

    evaluate = verb("evaluate", "score a run's frozen encoder on the test split")
    run(evaluate)
    evaluate.add_argument(
        "--task",
        choices=("knn", "linear_probe", "imputation", "clustering", "masked", "variant_effect"),
        required=True,
    )
    evaluate.add_argument(
        "--labels-per-class",
        type=_label_counts,
        default=[None],
        metavar="N,N,...",
        help="train on N labels a class, or all (default); several give a row each",
    )
    evaluate.add_argument(
        "--data", metavar="RECIPE", help="labelled samples of a fine-tuning recipe, not the run's own"
    )
    evaluate.add_argument("--label", metavar="COLUMN", help="instead of the recipe's data.label_column")
    variant_effect = evaluate.add_argument_group("of variant_effect")
    scored = "variants, scored by score-variants or not"
    variant_effect.add_argument("--variants", metavar="FILE", help=scored)
    of_classes = ("1", "pathogenic, say"), ("0", "benign, say")
    for name, (default, example) in zip(("--positive", "--negative"), of_classes, strict=True):
        words = f"values of the label between commas; default {default}; {example}. Other values are left out"
        variant_effect.add_argument(name, default=default, metavar="WORD,WORD", help=words)
    track = "bedGraph, wiggle or table: phyloP of the reference, to compare with"
    variant_effect.add_argument("--phylop", metavar="FILE", help=track)
    variant_effect.add_argument("--draws-of-variants", type=_positive, default=1000, metavar="N", help="bootstrap")
    _add_variant_options(variant_effect)
    evaluate.add_argument(
        "--ratios", default="0.1,0.3,0.5", metavar="P,P,P", help="of imputation and masked: fractions to hide"
    )
    evaluate.add_argument("--umap", metavar="FILE.png", help="of clustering: also draw the features")
    evaluate.add_argument("--draws", type=_positive, default=10, help="label draws with --labels-per-class")
    evaluate.add_argument("--baselines", action="store_true", help="also score raw input and the untrained encoder")

    reconstruct = verb("reconstruct", "hide, predict and draw images")
    run(reconstruct)
    reconstruct.add_argument("images", nargs="*", metavar="IMAGE", help="image files; default: held-out samples")
    reconstruct.add_argument("-o", "--output", metavar="PNG", help="default: RUN/pictures/reconstruct.png")
    reconstruct.add_argument("--ratios", default="0.25,0.5,0.75", metavar="P,P,P", help="fractions to hide")

    embed = verb("embed", "write features of whole samples, nothing hidden")
    predict = verb("predict", "write what a fine-tuned run says of samples: classes and probabilities, or numbers")
    for reading in (embed, predict):
        run(reading)
        where = "train, test, a folder or file of images, or a file of cells, texts or DNA"
        reading.add_argument("data", metavar="DATA", help=where)
        named = "of a table of texts or sequences; by default the recipe's"
        reading.add_argument("--column", metavar="NAME", help=named)
        shared = "of cells: share of the run's genes"
        reading.add_argument("--min-overlap", type=_share, default=0.5, metavar="S", help=shared)
    out = "FILE.npy, (N, D) float32; FILE.parquet; or FILE.h5ad, a copy of DATA with obsm[X_r2mae]"
    embed.add_argument("-o", "--output", required=True, metavar="FILE", help=out)
    predict.add_argument("-o", "--output", required=True, metavar="FILE", help=".csv, .tsv or .parquet, a row a sample")

    export = verb("export", "write a run's model for timm or transformers")
    run(export)
    export.add_argument("folder", metavar="DIR", help="absent or empty")
    export.add_argument("--to", choices=("timm", "transformers"), required=True)

    scores = verb("score-variants", "log-likelihood ratio of ALT against REF; the same command continues it")
    run(scores)
    scores.add_argument("variants", metavar="VARIANTS", help=".vcf, .tsv, .csv, each also with .gz, or .parquet")
    scores.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=".tsv, .csv or .vcf, each also with .gz (bgzip), or .parquet",
    )
    _add_variant_options(scores)

    fill = verb("fill", "what a language model puts where a text says [MASK]")
    run(fill)
    fill.add_argument("text", metavar="TEXT", help='such as "the [MASK] sat on the mat"')
    fill.add_argument("--top", type=_positive, default=5, metavar="N", help="tokens a place; default 5")

    data = verbs.add_parser("data", help="build what training reads, and say what is in it")
    _add_data(data.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser))

    theory = verbs.add_parser("theory", help="predict what a mask-ratio law costs, before training")
    questions = theory.add_subparsers(dest="question", required=True, metavar="QUESTION", parser_class=_Parser)
    _add_theory(questions)

    demo = verb("demo", "pretrain on real data in under a minute, then compare with simple features and no training")
    demo.add_argument("recipe", nargs="?", default="recipes/vision/digits_demo.yaml", metavar="RECIPE")
    demo.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. seed=1")
    demo.add_argument("--name", help="of the run folder below runs/")
    demo.add_argument("--fresh", action="store_true", help="set an earlier run aside and start over")
    return parser


def _add_variant_options(added: Any) -> None:
    """How variants are read."""
    reference = "genome that variants are of, or an alignment for runs on alignments; default: the run's own"
    added.add_argument("--reference", metavar="FASTA", help=reference)
    named = "what a table calls contig, position, ref or alt, e.g. position=pos_hg38"
    added.add_argument("--column", action="append", default=[], metavar="WHAT=NAME", help=named)
    aliased = "what files call a contig = what the reference does, e.g. chrM=NC_012920.1"
    added.add_argument("--alias", action="append", default=[], metavar="NAME=CONTIG", help=aliased)
    added.add_argument("--first", type=int, choices=(0, 1), default=1, help="number of a contig's first base in tables")
    wrong = "share of variants that may not fit the reference, and are left out; default 0.01"
    added.add_argument("--most-wrong", type=_share, default=0.01, metavar="S", help=wrong)


def _add_data(actions: Any) -> None:
    """`r2mae data build cells | text | dna | msa, tokenizer, inspect`."""
    build = actions.add_parser("build", help="files -> a store that training maps; the same command continues it")
    kinds = build.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=_Parser)
    cells = kinds.add_parser("cells", help=".h5ad, 10x .h5, .mtx folders", description="files of cells -> a store")
    cells.add_argument("out", metavar="OUT", help="folder of the store; absent")
    cells.add_argument("files", nargs="+", metavar="FILE", help="files, folders or globs")
    cells.add_argument("--matrix", default="X", help="X (default), raw or layers[NAME]: raw counts")
    cells.add_argument(
        "--genes-by", default="index", metavar="COLUMN", help="of var, what names genes; default: its index"
    )
    cells.add_argument("--min-cells", type=_positive, default=1, metavar="N", help="that a gene is seen in; default 1")
    cells.add_argument("--top-variable", type=_positive, metavar="K", help="the K most variable of these genes")
    cells.add_argument("--gene-list", metavar="FILE", help="these genes, one a line, in this order")
    cells.add_argument("--min-genes", type=_positive, default=1, metavar="N", help="of a cell; default 1")
    cells.add_argument("--min-counts", type=_positive, default=1, metavar="N", help="of a cell; default 1")
    text = kinds.add_parser("text", help=".txt, .jsonl, .csv, .tsv, .parquet", description="files of texts -> a store")
    text.add_argument("out", metavar="OUT", help="folder of the store; absent")
    text.add_argument("--tokenizer", required=True, metavar="T", help="a folder, a hub id or a run")
    dna = kinds.add_parser(
        "dna", help="FASTA, also .gz; tables of sequences", description="sequences -> a genome's store"
    )
    dna.add_argument("--name-by-file", action="store_true", help="call contigs FILE:CONTIG, where files share names")
    about = "MAF or aligned FASTA -> a store of what stands at a reference's bases in other species"
    msa = kinds.add_parser("msa", help=".maf, aligned FASTA, also .gz", description=about)
    msa.add_argument("--reference", metavar="NAME", help="species or record; default: the first row of the first file")
    msa.add_argument("--genome", metavar="FASTA", help="of the reference: its bases where no block reaches; or a store")
    msa.add_argument("--species", metavar="NAMES", help="kept, between commas or in a file; name all with dots")
    for added in (dna, msa):
        added.add_argument("out", metavar="OUT", help="folder of the store; absent")
        added.add_argument("files", nargs="+", metavar="FILE", help="files or globs")
    tokenizer = actions.add_parser("tokenizer", help="train one on texts", description="texts -> a tokenizer's folder")
    tokenizer.add_argument("out", metavar="OUT", help="folder of the tokenizer; absent")
    tokenizer.add_argument(
        "--kind", choices=("bpe", "wordpiece"), default="bpe", help="byte-level BPE (default), or lower-cased WordPiece"
    )
    tokenizer.add_argument("--vocab-size", type=_positive, default=30_000, metavar="V", help="default 30000")
    for added in (text, tokenizer):
        added.add_argument("files", nargs="*", metavar="FILE", help="files, folders or globs")
        added.add_argument(
            "--card", metavar="CARD", help="instead of files: a data card, of a hub data set for example"
        )
        added.add_argument("--column", default="text", metavar="NAME", help="of tables; default text")
        added.add_argument("--encoding", default="utf-8", metavar="NAME", help="of plain text; default utf-8")
        of_files = "what of a plain text file is one document; default file"
        added.add_argument("--document", choices=("file", "paragraph", "line"), default="file", help=of_files)
    inspect = actions.add_parser("inspect", help="what is in a store", description="what is in a store")
    inspect.add_argument("out", metavar="STORE")
    for added in (cells, text, dna, msa, tokenizer, inspect):
        added.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def _add_theory(questions: Any) -> None:
    """`r2mae theory risk | plot | recommend`."""
    for name, text in (("risk", "excess test risk of a law"), ("plot", "excess test risk against the fixed ratio")):
        added = questions.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        words = "identity, ar1:R, equicorrelated:R, blocks:SIZE:R or FILE.npy"
        added.add_argument("--covariance", required=True, metavar="S", help=words)
        added.add_argument("--num-features", type=_positive, metavar="D", help="of the input; a file tells by itself")
        added.add_argument("--num-rows", type=_positive, required=True, metavar="N", help="samples that train")
        added.add_argument("--objective", choices=("downstream", "reconstruction"), default="downstream")
        target = "feature J of D + 1 is the response; else the response is feature 0 plus noise"
        added.add_argument("--target", type=int, metavar="J", help=target)
        added.add_argument("--coefficients", metavar="FILE.npy", help="(D,) instead of feature 0")
        added.add_argument(
            "--noise-variance", type=float, default=0.0, metavar="V", help="on top of what --target leaves"
        )
        added.add_argument("--test-mask-ratio", type=float, default=0.0, metavar="Q")
        added.add_argument("--ridge", type=float, default=0.0, metavar="L")
        added.add_argument("--train-time", type=float, default=math.inf, metavar="T", help="learning rate x steps")
        added.add_argument("--masks-per-row", type=float, default=1, metavar="M", help="1 (default) or inf")
        added.add_argument("--leading-factors", type=int, default=0, choices=(0, 1))
        law = "0.5, uniform:LOW:HIGH, beta:A:B:LOW:HIGH or truncated_normal:MEAN:SD:LOW:HIGH"
        added.add_argument("--ratio", required=name == "risk", metavar="LAW", help=law)
        if name == "plot":
            added.add_argument("-o", "--output", required=True, metavar="FILE.png")
    text = "which mask-ratio law for a recipe's data"
    added = questions.add_parser("recommend", help=text, description=text)
    added.add_argument("recipe", metavar="RECIPE", help="a pretraining recipe")
    added.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. seed=1")
    added.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    added.add_argument("-o", "--output", metavar="FILE.png", help="also draw the curves")
    added.add_argument(
        "--write", choices=("fixed", "least_regret", "schedule"), help="write RECIPE_<choice>.yaml beside the recipe"
    )
    added.add_argument(
        "--bootstrap", type=_positive, default=10, metavar="B", help="half-samples for bands; default 10"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1], got {text!r}")
    return share


def _steps(text: str) -> list[int]:
    return [_positive(word) for word in text.split(",")]


def _label_counts(text: str) -> list[int | None]:
    """Labels a class, None for all of them."""
    words = text.split(",")
    if not all(word == "all" or (word.isdecimal() and int(word) > 0) for word in words):
        raise argparse.ArgumentTypeError(f"must be whole numbers from 1, or all, between commas, got {text!r}")
    return [None if word == "all" else int(word) for word in words]
