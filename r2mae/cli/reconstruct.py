"""`r2mae reconstruct`: a picture of what was given and what was predicted."""

import argparse
import json
from pathlib import Path

from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Write the picture, print the loss at each ratio."""
    ratios = parse_ratios(arguments.ratios)
    output = Path(arguments.output or Path(arguments.run) / "pictures" / "reconstruct.png")
    if output.suffix.lower() != ".png":
        raise InputError(f"--output must end in .png, got {str(output)!r}.")
    import torch

    from r2mae.datasets.source import load_plain
    from r2mae.recipe.modality import open_paths, open_training_data
    from r2mae.recipe.run import load_run
    from r2mae.training.pictures import save_pictures
    from r2mae.training.watch import frozen_mask

    loaded = load_run(arguments.run, arguments.checkpoint)
    source = open_paths(loaded.recipe, arguments.images) if arguments.images else open_training_data(loaded.recipe)[1]
    if loaded.recipe.task != "pretrain":
        raise InputError(f"{arguments.run} must be a pretraining run, got one of task {loaded.recipe.task}.")
    rows = torch.arange(min(8 if not arguments.images else 64, len(source)))
    batch = load_plain(source, rows, loaded.device)
    with torch.no_grad():
        masks = [frozen_mask(loaded.model, batch, ratio) for ratio in ratios]  # type: ignore[arg-type]
        losses = [float(loaded.model(batch, mask).loss.mean) for mask in masks]
        if not save_pictures(loaded.model, batch, masks, output):
            raise InputError(f"{arguments.run} must be of a modality with pictures, got {loaded.recipe.modality}.")
    result = {
        "picture": str(output),
        "images": len(batch["indices"]),
        "loss": dict(zip(map(str, ratios), losses, strict=True)),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{output}: {result['images']} images; original, then given and predicted at each ratio")
    for ratio, loss in zip(ratios, losses, strict=True):
        print(f"  ratio {ratio:g}  loss {loss:.4f}")


def parse_ratios(text: str) -> list[float]:
    """`0.25,0.5` as fractions.

    Raises: InputError for anything else.
    """
    try:
        ratios = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--ratios must be numbers with commas between, got {text!r}.") from None
    if not all(0 < ratio < 1 for ratio in ratios) or len(ratios) > 16:
        raise InputError(f"--ratios must be up to 16 fractions in (0, 1), got {text!r}.")
    return ratios
