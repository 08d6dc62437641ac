"""`r2mae reconstruct`: a picture of what was given and what was predicted."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from r2mae.errors import InputError
from r2mae.options import parse_ratios
from r2mae.wing import LoadedRun

_HELD_OUT, _MOST = 8, 64  # pictures without and with IMAGE


def add_arguments(parser: ArgumentParser) -> None:
    """`IMAGE`, `--output` and `--ratios`."""
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image files; default: held-out samples",
    )
    parser.add_argument(
        "-o", "--output", metavar="PNG", help="default: RUN/pictures/reconstruct.png"
    )
    parser.add_argument(
        "--ratios", default="0.25,0.5,0.75", metavar="P,P,P", help="fractions to hide"
    )


def check(arguments: Namespace) -> None:
    """Raise InputError for ratios or an output that cannot be."""
    parse_ratios(arguments.ratios)
    if not str(_output(arguments)).lower().endswith(".png"):
        raise InputError(f"--output must end in .png, got {str(_output(arguments))!r}.")


def run(loaded: LoadedRun, arguments: Namespace) -> None:
    """Write the picture, print the loss at each ratio."""
    import torch

    from r2mae.data.source import hold_out, load_plain
    from r2mae.modalities.vision import assembly
    from r2mae.training.pictures import save_pictures
    from r2mae.training.watch import frozen_mask

    recipe, ratios, output = (
        loaded.recipe,
        parse_ratios(arguments.ratios),
        _output(arguments),
    )
    if arguments.images:
        source, most = assembly.open_paths(recipe, arguments.images), _MOST
    else:
        source, most = (
            hold_out(assembly.open_split(recipe, "train"), recipe.data.held_out)[1],
            _HELD_OUT,
        )
    if recipe.task != "pretrain":
        raise InputError(
            f"{arguments.run} must be a pretraining run, got one of task {recipe.task}."
        )
    batch = load_plain(source, torch.arange(min(most, len(source))), loaded.device)
    with torch.no_grad():
        masks = [frozen_mask(loaded.model, batch, ratio) for ratio in ratios]  # type: ignore[arg-type]
        losses = [float(loaded.model(batch, mask).loss.mean) for mask in masks]
        save_pictures(loaded.model, batch, masks, output)
    loss_at = dict(zip(map(str, ratios), losses, strict=True))
    if arguments.json:
        print(
            json.dumps(
                {
                    "picture": str(output),
                    "images": len(batch["indices"]),
                    "loss": loss_at,
                }
            )
        )
        return
    print(
        f"{output}: {len(batch['indices'])} images; original, then given and predicted at each ratio"
    )
    for ratio, loss in zip(ratios, losses, strict=True):
        print(f"  ratio {ratio:g}  loss {loss:.4f}")


def _output(arguments: Namespace) -> Path:
    return Path(
        arguments.output or Path(arguments.run) / "pictures" / "reconstruct.png"
    )
