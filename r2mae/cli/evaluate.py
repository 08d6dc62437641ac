"""`r2mae evaluate`: frozen features of a run against labels, on the test split."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from r2mae.cli import evaluate_cells, evaluate_dna, evaluate_texts
from r2mae.cli.show import show, show_text
from r2mae.errors import InputError

COMPONENTS = "PCA-50"  # of log1p counts a 10,000: what cells are compared with, where images have raw input
Row = dict[str, Any]  # labels_per_class, scores {encoder: {task: score}}, differences {"a - b": {task: difference}}
Hits = dict[str, dict[str, Any]]  # {encoder: {task: (draws, M) bool}}


def run(arguments: argparse.Namespace) -> None:
    """Score, and print a table or JSON."""
    from r2mae.recipe.run import load_run

    loaded, task = load_run(arguments.run, arguments.checkpoint), arguments.task
    recipe = loaded.recipe if arguments.data is None else _labelled(loaded, arguments.data)
    if task == "variant_effect":
        return evaluate_dna.variant_effect(loaded, recipe, arguments)
    if arguments.label is not None:
        data = recipe.data.model_copy(update={"label_column": arguments.label})
        recipe = recipe.model_copy(update={"data": data})
    if task in ("imputation", "clustering"):
        return getattr(evaluate_cells, task)(loaded, recipe, arguments)  # type: ignore[no-any-return]
    if task == "masked":
        by_modality = evaluate_dna.masked if recipe.modality == "dna" else evaluate_texts.masked
        return by_modality(loaded, recipe, arguments)
    rows = score(loaded, recipe, [task], arguments.labels_per_class, arguments.draws, arguments.baselines)
    if not arguments.json:
        return print_scores(rows)
    plain = [
        row | {part: {name: tasks[task] for name, tasks in row[part].items()} for part in ("scores", "differences")}
        for row in rows
    ]
    several = {"labels_per_class": [row["labels_per_class"] for row in rows], "rows": plain}
    about = {"run": arguments.run, "checkpoint_step": loaded.manifest["step"], "task": task, "split": "test"}
    print(json.dumps(about | (plain[0] if len(plain) == 1 else several)))
    return None


def _labelled(loaded: Any, path: str) -> Any:
    """A fine-tuning recipe whose samples are read as the run reads its own: by its tokenizer or genes."""
    from r2mae.recipe.modality import MODALITIES
    from r2mae.schema.recipe import load_recipe

    recipe = load_recipe(path, [], task="finetune")
    if recipe.modality != loaded.recipe.modality:
        raise InputError(f"--data must be a recipe on {loaded.recipe.modality}, as the run is, got {recipe.modality}.")
    for name in ("image_size", "channels"):
        ours, theirs = (getattr(data, name, None) for data in (loaded.recipe.data, recipe.data))
        if ours != theirs:
            raise InputError(f"data.{name} of --data must be {ours}, as the run's, got {theirs}. Write it into {path}.")
    longest = getattr(getattr(getattr(loaded.model, "base", None), "config", None), "max_position_embeddings", None)
    if longest is not None and recipe.data.length > longest:
        raise InputError(f"data.length of --data must be {longest} at most, as the run's, got {recipe.data.length}.")
    bare = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init_from": None})})
    return MODALITIES[recipe.modality].with_facts(bare, loaded.manifest)


def score(
    loaded: Any, recipe: Any, tasks: list[Any], labels_per_class: list[int | None], draws: int, baselines: bool
) -> list[Row]:
    """A row for each number of labels (None: all), train to test split of the recipe's data.

    With baselines, the row has paired differences from the trained encoder to each of them.
    """
    import numpy as np

    from r2mae.datasets.source import with_labels
    from r2mae.evaluation.features import LabelledFeatures, check_classes, extract_labelled, require_labels
    from r2mae.evaluation.probe import probe_hits
    from r2mae.metrics.few_label import few_label_draws
    from r2mae.recipe.modality import open_split

    train, test = with_labels(open_split(recipe, "train")), with_labels(open_split(recipe, "test"))
    check_classes(train, test)
    labels, names = require_labels(train), train.class_names
    found = [None if few is None else few_label_draws(labels, few, draws, 0, names) for few in labels_per_class]
    # Only what is drawn is embedded.
    chosen = (
        np.arange(len(train))
        if None in found
        else np.unique(np.concatenate([draw for few in found for draw in few or ()]))
    )
    hits: list[Hits] = [{} for _ in found]
    for name, model, kind in encoders(loaded, baselines):
        known = extract_labelled(model, train, chosen, kind=kind, progress=show(f"{name}, train"))
        asked = extract_labelled(model, test, kind=kind, progress=show(f"{name}, test"))
        if name == COMPONENTS:
            first, second = evaluate_cells.principal_components(known.features, asked.features)
            known, asked = LabelledFeatures(first, known.labels), LabelledFeatures(second, asked.labels)
        for row, few in zip(hits, found, strict=True):
            rows = None if few is None else [np.searchsorted(chosen, draw) for draw in few]
            row[name] = {}
            for task in tasks:
                with show_text(f"{name}, {task}") as say:
                    row[name][task] = probe_hits(task, known, asked, draws=rows, say=say)
    return [_row(few, row) for few, row in zip(labels_per_class, hits, strict=True)]


def encoders(loaded: Any, baselines: bool) -> Iterator[tuple[str, Any, str]]:
    """(name, model, kind of features) of what is scored."""
    from r2mae.recipe.modality import build_model

    yield "pretrained", loaded.model, "embed"
    if baselines:
        recipe = loaded.recipe
        yield "untrained", build_model(recipe, loaded.num_classes).to(loaded.device), "embed"
        simple = {"cell": COMPONENTS, "language": "bag of tokens", "dna": "counts of 5-mers"}
        yield simple.get(recipe.modality, "raw input"), loaded.model, "baseline"


def _row(labels_per_class: int | None, hits: Hits) -> Row:
    """Scores of all encoders, and differences from the first one to each other."""
    from r2mae.evaluation.probe import compare, summarize

    (first, ours), *others = hits.items()
    scores = {name: {task: summarize(found).to_dict() for task, found in tasks.items()} for name, tasks in hits.items()}
    differences = {
        f"{first} - {name}": {task: compare(ours[task], found).to_dict() for task, found in tasks.items()}
        for name, tasks in others
    }
    return {"labels_per_class": labels_per_class or "all", "scores": scores, "differences": differences}


def print_scores(rows: list[Row]) -> None:
    """A table with a line for each number of labels and task."""
    columns = [*rows[0]["scores"], *rows[0]["differences"]]
    print("test accuracy ± 95 % interval; differences are paired")
    table = [["labels a class", "task", *columns, "interval over"]]
    for row in rows:
        cells = row["scores"] | row["differences"]
        for task, first in row["scores"]["pretrained"].items():
            over = f"{first['draws']} draws" if first["over"] == "draws" else "test items"
            numbers = [_cell(cells[name][task]) for name in columns]
            table.append([str(row["labels_per_class"]), task, *numbers, over])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(found: dict[str, Any]) -> str:
    number = f"{found['difference']:+.3f}" if "difference" in found else f"{found['accuracy']:.3f}"
    return number if found["half_width"] is None else f"{number} ± {found['half_width']:.3f}"
