"""`r2mae demo`: pretrain demo recipes in about a minute each, and compare their encoders with baselines."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from r2mae.cli.arguments import add_set, add_training
from r2mae.cli.pretrain import pretrain
from r2mae.cli.probe_table import print_scores
from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe
from r2mae.schema.launch import read_launch
from r2mae.wing_commands import Task

LABELS_PER_CLASS = (10, None)  # None: all
DRAWS = 10
RESULT_FILE = "demo.json"


def add_arguments(parser: ArgumentParser) -> None:
    """`RECIPE ...`, by default digits_demo."""
    text = (
        "recipe files, or names that r2mae recipe list shows, run one after the other; "
        "default digits_demo"
    )
    parser.add_argument(
        "recipes", nargs="*", default=["digits_demo"], metavar="RECIPE", help=text
    )
    add_set(parser)
    add_training(parser)


def run(arguments: Namespace) -> None:
    """Pretrain and evaluate each recipe, print a sentence on it, and write its demo.json.

    Raises: InputError for one name of several runs, and for a bad recipe before any trains.
    """
    recipes = arguments.recipes
    _check(arguments)
    results = []
    for number, recipe in enumerate(recipes, 1):
        if len(recipes) > 1 and not arguments.json:
            print(f"\n== {number} of {len(recipes)}: {Path(recipe).stem}", flush=True)
        arguments.recipe = recipe
        results.append(_run_one(arguments))
    if not read_launch().is_first:
        return
    if arguments.json:
        print(json_text(results[0] if len(results) == 1 else results))
    elif len(results) > 1:
        print("\nIn short")
        for result in results:
            print(f"{Path(result['run']).name}: {result['conclusion']}")


def _check(arguments: Namespace) -> None:
    recipes = arguments.recipes
    if arguments.name and len(recipes) > 1:
        raise InputError(
            f"--name must be given with one recipe, got {len(recipes)}. Leave it out."
        )
    names = [Path(recipe).stem for recipe in recipes]
    folders = [name.casefold() for name in names]  # as some file systems take them
    for recipe, name in zip(recipes, names, strict=True):
        if folders.count(name.casefold()) > 1:
            raise InputError(
                f"RECIPE must be given once, got {name} twice. Leave one out."
            )
        section = load_recipe(recipe, arguments.set, task="pretrain")
        demo = find_wing(section.modality).demo
        if demo is not None:
            demo.check(section, _defaults(demo))


def _run_one(arguments: Namespace) -> dict[str, Any]:
    """Pretrain and evaluate `arguments.recipe`; {} on ranks that only train."""
    trained = pretrain(arguments)
    if not read_launch().is_first:
        return {}
    from r2mae.evaluation.inference import inference
    from r2mae.recipe.run import load_run

    loaded = load_run(trained["run"])
    result = {"run": trained["run"], "training_seconds": trained["seconds"]}
    demo = loaded.wing.demo
    with inference(loaded.recipe.hardware):
        if demo is None:
            result |= _probe(loaded, arguments)
        else:
            result |= _show(demo, loaded, arguments)
    file = loaded.folder.path / RESULT_FILE
    write_atomic(file, json_text(result, indent=1) + "\n")
    if not arguments.json:
        print(result["conclusion"])
        _print_files(loaded.folder.path)
    return result


def _print_files(folder: Path) -> None:
    """Where picture and numbers are, and what to run next."""
    pictures = sorted(
        folder.glob("pictures/*.png"), key=lambda file: file.stat().st_mtime
    )
    if pictures:
        print(f"picture: {pictures[-1]}")
    print(f"numbers: {folder / RESULT_FILE}")
    print(f"next: r2mae report {folder}; r2mae evaluate {folder} --help", flush=True)


def _probe(loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """kNN and linear probe with few and with all labels, compared with baselines."""
    from r2mae.evaluation.probe_encoders import ProbePlan, probe_encoders

    loaded = replace(loaded, read_out=loaded.wing.demo_read_out)
    plan = ProbePlan(("knn", "linear_probe"), LABELS_PER_CLASS, DRAWS, baselines=True)
    rows = probe_encoders(loaded, loaded.recipe, plan)
    if not arguments.json:
        print_scores(rows)
    few, every = rows
    conclusion = f"{conclude(every, 'linear_probe')}; {conclude(few, 'knn')}."
    return {"rows": rows, "conclusion": conclusion}


def conclude(row: dict[str, Any], task: str) -> str:
    """What a probe shows, as a part of a sentence."""
    own = row["scores"]["pretrained"][task]["accuracy"]
    count = row["labels_per_class"]
    labels = "all labels" if count == "all" else f"{count} labels per class"
    parts = []
    for pair, tasks in row["differences"].items():
        gain = tasks[task]
        number = f"{gain['difference']:+.3f} ± {gain['half_width']:.3f}"
        parts.append(f"{_verdict(gain)} {pair.partition(' - ')[2]} ({number})")
    name = {"knn": "kNN", "linear_probe": "linear probe"}[task]
    return (
        f"{name} with {labels}: {own:.1%} with pretrained features, {', '.join(parts)}"
    )


def _verdict(gain: dict[str, Any]) -> str:
    if abs(gain["difference"]) <= gain["half_width"]:
        return "level with"
    return "better than" if gain["difference"] > 0 else "worse than"


def _defaults(task: Task) -> Namespace:
    """The default options of a task."""
    parser = ArgumentParser()
    task.add_arguments(parser)
    return parser.parse_args([])


def _show(task: Task, loaded: LoadedRun, arguments: Namespace) -> dict[str, Any]:
    """The demo task of the modality, with its default options."""
    result = task.run(loaded, loaded.recipe, _defaults(task))
    if not arguments.json:
        task.show(result)
    return result | {"conclusion": task.conclude(result)}
