"""`r2mae reconstruct`: a picture of masked and predicted images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.loaded_run import LoadedRun
from r2mae.options import mask_ratios, png_path

if TYPE_CHECKING:
    from r2mae.data.source import SampleSource

_HELD_OUT, _MOST = 8, 64  # images drawn: of held-out samples, of those named


def add_arguments(parser: ArgumentParser) -> None:
    """`IMAGE`, `--output` and `--ratios`."""
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image files; default: held-out samples",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=png_path,
        metavar="PNG",
        help="default: RUN/pictures/reconstruct.png",
    )
    parser.add_argument(
        "--ratios",
        type=mask_ratios,
        default="0.25,0.5,0.75",
        metavar="P,P,P",
        help="fractions to hide",
    )


def run(loaded: LoadedRun, arguments: Namespace) -> None:
    """Write the picture and print the loss at each ratio."""
    import torch

    from r2mae.data.source import load_plain
    from r2mae.models.frozen_mask import frozen_mask
    from r2mae.training.pictures import save_pictures

    ratios, output = arguments.ratios, _output(arguments)
    source, most = _open_images(loaded, arguments)
    if loaded.recipe.task != "pretrain":
        raise InputError(
            f"{arguments.run} must be a pretraining run, "
            f"got one of task {loaded.recipe.task}."
        )
    batch = load_plain(source, torch.arange(min(most, len(source))), loaded.device)
    with torch.no_grad():
        masks = [frozen_mask(loaded.model, batch, ratio) for ratio in ratios]  # type: ignore[arg-type]
        losses = [float(loaded.model(batch, mask).loss.mean) for mask in masks]
        save_pictures(loaded.model, batch, masks, output)
    note = str(getattr(loaded.model, "picture_note", ""))
    _report(output, len(batch["indices"]), ratios, losses, note, arguments.json)


def _open_images(loaded: LoadedRun, arguments: Namespace) -> tuple[SampleSource, int]:
    """(images, how many of them to draw at most)."""
    from r2mae.data.source import hold_out
    from r2mae.modalities.vision import assembly

    recipe = loaded.recipe
    if arguments.images:
        return assembly.open_paths(recipe, arguments.images), _MOST
    _, held_out = hold_out(assembly.open_split(recipe, "train"), recipe.data.held_out)
    return held_out, _HELD_OUT


def _report(
    output: Path,
    num_images: int,
    ratios: Sequence[float],
    losses: list[float],
    note: str,
    as_json: bool,
) -> None:
    if as_json:
        loss_at = dict(zip(map(str, ratios), losses, strict=True))
        result = {"picture": str(output), "images": num_images, "loss": loss_at}
        print(json_text(result | {"note": note}))
        return
    print(
        f"{output}: {num_images} images; original, then masked and predicted per ratio"
    )
    for ratio, loss in zip(ratios, losses, strict=True):
        print(f"  ratio {ratio:g}  loss {loss:.4f}")
    if note:
        print(f"  {note}")


def _output(arguments: Namespace) -> Path:
    default = Path(arguments.run) / "pictures" / "reconstruct.png"
    return arguments.output or default
