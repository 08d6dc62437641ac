"""`--layer` and `--pool`: the features of a run's encoder that a command reads."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r2mae.evaluation.read_out import ReadOut
from r2mae.loaded_run import LoadedRun


def find_read_out(
    loaded: LoadedRun, recipe: Any, arguments: Namespace, tasks: Sequence[str] = ()
) -> tuple[LoadedRun, dict[str, Any]]:
    """(the run with its `read_out`, JSON that describes what differs from the default).

    tasks: for `--layer auto`, as in `choose_layer`.

    Raises: InputError for a layer or pooling that the model does not have.
    """
    from r2mae.evaluation.read_encoder import layer_number, read_encoder

    layer, pool, choice = arguments.layer, arguments.pool, {}
    if layer == "auto":
        from r2mae.evaluation.choose_layer import choose_layer

        read_encoder(loaded.model, ReadOut(pool=pool))  # refuses a pooling at once
        counts = getattr(arguments, "labels_per_class", [None])
        chosen = choose_layer(loaded, recipe, pool, tasks, counts)
        layer, choice = chosen.layer, {"layer_choice": chosen.to_dict()}
    elif layer != "last":
        layer = layer_number(loaded.model, layer)
    read_out = ReadOut(layer, pool)
    read_encoder(loaded.model, read_out)
    return replace(loaded, read_out=read_out), read_out.to_dict() | choice


def show_read_out(about: dict[str, Any]) -> None:
    """Print the accuracy of each layer that `--layer auto` compared, and its choice."""
    choice = about.get("layer_choice")
    if choice is None:
        return
    print(
        f"layer {choice['layer']} of {len(choice['accuracy'])}: the highest accuracy on "
        f"{choice['held_out']:,} held-out samples of the training split "
        "(in brackets: labels per class)"
    )
    for layer, by_task in choice["accuracy"].items():
        parts = []
        for task, scores in by_task.items():
            numbers = [f"{score:.3f} ({count})" for count, score in scores.items()]
            parts.append(f"{task} {', '.join(numbers)}")
        print(f"  layer {layer}: {'; '.join(parts)}")
