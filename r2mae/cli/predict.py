"""`r2mae predict`: predictions of a fine-tuned run as a table, or answers to questions as JSON."""

import argparse
import json
from itertools import chain, compress
from pathlib import Path
from typing import Any

from r2mae.cli.inference import chosen_inference
from r2mae.cli.samples import (
    INCOMPLETE,
    add_data,
    add_data_options,
    check_apart,
    check_output,
    compute_outputs,
    names_of,
    open_samples,
    report_left_out,
)
from r2mae.data.atomic import atomic_file, write_atomic
from r2mae.data.labels import NO_LABEL, split_labels
from r2mae.errors import InputError
from r2mae.json_text import json_text

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RUN`, `DATA` and `--output`."""
    add_data(parser)
    output = (
        "table as .csv, .tsv or .parquet, one row per sample; of a run with "
        "tune.target answer_span, .json with an answer for each question's id"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)


add_run_arguments = add_data_options


def run(arguments: argparse.Namespace) -> int:
    """Write the predictions of all samples.

    Returns: 3 where unreadable samples were left out, else 0.
    """
    output = Path(arguments.output)
    check_output(output, (*_SEPARATORS, ".parquet", ".json"), arguments)
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    if loaded.recipe.task != "finetune":
        raise InputError(
            f"RUN must be a fine-tuned run, got a pretraining run in {arguments.run}. Use r2mae embed."
        )
    target = loaded.recipe.tune.target.name  # type: ignore[attr-defined]
    if (target == "answer_span") != (output.suffix == ".json"):
        kinds = ".json" if target == "answer_span" else ".csv, .tsv or .parquet"
        raise InputError(
            f"--output must be a {kinds} file for this run, got {arguments.output!r}."
        )
    check_apart(output, loaded, arguments)
    source = open_samples(loaded, arguments)
    writers = {"token_tags": _write_tags, "answer_span": _write_answers}
    write = writers.get(target, _write_samples)
    with chosen_inference(loaded, arguments):
        return write(loaded, source, output, arguments)


def _write_samples(
    loaded: Any, source: Any, output: Path, arguments: argparse.Namespace
) -> int:
    """Write a row per sample: name, class if known, prediction and probabilities."""
    outputs, rows, unreadable = compute_outputs(loaded, source, "forward", "predict")
    names, classes = zip(*names_of(source, rows), strict=True)
    columns: dict[str, Any] = {"name": names}
    if any(classes):
        columns["class"] = classes
    target = loaded.recipe.tune.target.name
    predict = {"regression": _numbers, "multi_label": _label_sets}.get(target, _classes)
    predictions = predict(loaded, outputs)
    write_table(output, columns | predictions)
    report_left_out(source, unreadable)
    match = loaded.wing.describe_match(source)
    text = match.pop("text", None)
    result: dict[str, Any] = {"output": str(output), "samples": len(outputs)}
    result |= match | {"skipped_samples": unreadable}
    if target == "multi_label":
        labels = map(split_labels, predictions["predicted_labels"])
        result["classes"] = _count(loaded, list(chain.from_iterable(labels)))
    elif target != "regression":
        result["classes"] = _count(loaded, predictions["predicted_class"].tolist())
    print(json_text(result)) if arguments.json else _show(result, text)
    return INCOMPLETE if unreadable else 0


def _write_tags(
    loaded: Any, source: Any, output: Path, arguments: argparse.Namespace
) -> int:
    """Write a row per word: sentence, word, tag if known, predicted tag and its probability."""
    from r2mae.evaluation.token_tags import predict_tags
    from r2mae.progress import progress_bar

    names, progress = loaded.manifest["class_names"], progress_bar("predict")
    tags, chances = predict_tags(loaded.model, source, names, progress)
    columns: dict[str, Any] = {"name": [], "word": list(chain(*source.words))}
    for number, words in enumerate(source.words):
        columns["name"] += [source.name(number)] * len(words)
    if source.tags is not None:
        columns["tag"] = list(chain(*source.tags))
    predicted = list(chain(*tags))
    columns |= {"predicted_tag": predicted, "probability": list(chain(*chances))}
    write_table(output, columns)
    result = {"output": str(output), "samples": len(tags), "words": len(predicted)}
    result |= {"words_cut_off": source.num_cut, "classes": _count(loaded, predicted)}
    cut = f"{source.num_cut:,} words have no token, mostly beyond data.length; their tag is O"
    text = cut if source.num_cut else None
    print(json_text(result)) if arguments.json else _show(result, text)
    return 0


def _write_answers(
    loaded: Any, source: Any, output: Path, arguments: argparse.Namespace
) -> int:
    """Write {id: answer} as JSON, the format of SQuAD's evaluation scripts."""
    from r2mae.evaluation.answer_span import predict_answers
    from r2mae.progress import progress_bar

    answers = predict_answers(
        loaded.model,
        source,
        may_be_empty=loaded.manifest["has_unanswerable"],
        progress=progress_bar("predict"),
    )
    ids = [question.id for question in source.questions]
    by_id = dict(zip(ids, answers, strict=True))
    write_atomic(output, json.dumps(by_id, ensure_ascii=False, indent=1) + "\n")
    report_left_out(source, [])
    num_empty = answers.count("")
    result = {"output": str(output), "samples": len(answers), "no_answer": num_empty}
    text = f"without an answer: {num_empty:,}" if num_empty else None
    print(json_text(result)) if arguments.json else _show(result, text)
    return 0


def _count(loaded: Any, predicted: list[str]) -> dict[str, int]:
    """How often each class was predicted."""
    return {name: predicted.count(name) for name in loaded.manifest["class_names"]}


def _show(result: dict[str, Any], match: str | None) -> None:
    counts = [f"{name}: {count:,}" for name, count in result.get("classes", {}).items()]
    predicted = f" (predicted {', '.join(counts)})" if counts else ""
    print(f"{result['output']}: {result['samples']:,} samples{predicted}")
    if match:
        print(f"  {match}")


def _classes(loaded: Any, logits: Any) -> dict[str, Any]:
    """The likeliest class (N,) and a column of probabilities (N,) for each class."""
    import numpy as np
    from scipy.special import softmax

    names = loaded.manifest["class_names"]
    probabilities = softmax(logits.astype(np.float64), axis=1)
    likeliest = np.array(names, dtype=object)[probabilities.argmax(axis=1)]
    return {"predicted_class": likeliest} | {
        f"p({name})": probabilities[:, column] for column, name in enumerate(names)
    }


def _label_sets(loaded: Any, logits: Any) -> dict[str, Any]:
    """The labels (N,) of a probability over 0.5, as in "a;b", and a column of probabilities (N,) for each."""
    import numpy as np
    from scipy.special import expit

    names = loaded.manifest["class_names"]
    probabilities = expit(logits.astype(np.float64))
    chosen = [list(compress(names, row)) for row in probabilities > 0.5]
    joined = [";".join(labels) or NO_LABEL for labels in chosen]
    return {"predicted_labels": joined} | {
        f"p({name})": probabilities[:, column] for column, name in enumerate(names)
    }


def _numbers(loaded: Any, outputs: Any) -> dict[str, Any]:
    """Predicted numbers (N,) in the units of the labels."""
    target = loaded.manifest["target"]
    return {
        "predicted": outputs[:, 0].astype("float64") * target["spread"] + target["mean"]
    }


def write_table(output: Path, columns: dict[str, Any]) -> None:
    """Columns (N,) as .csv, .tsv or .parquet; the file appears only when complete."""
    import pandas as pd

    table = pd.DataFrame(columns)
    with atomic_file(output) as unfinished:
        if output.suffix == ".parquet":
            table.to_parquet(unfinished, index=False)
        else:
            table.to_csv(
                unfinished,
                sep=_SEPARATORS[output.suffix],
                index=False,
                float_format="%.6g",
            )
