"""`r2mae embed`: features of any data, as a .npy file."""

import argparse
import json
import sys
from pathlib import Path

from r2mae.cli.evaluate import show
from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Write (N, D) float32, rows in the order of the data."""
    output = Path(arguments.output)
    if output.suffix != ".npy" or not output.parent.is_dir():
        raise InputError(f"--output must be a .npy file in an existing folder, got {str(output)!r}.")
    import numpy as np

    from r2mae.evaluation.features import extract
    from r2mae.recipe import load_run, open_paths, open_split

    loaded = load_run(arguments.run, arguments.checkpoint)
    is_split = arguments.data in ("train", "test")
    source = open_split(loaded.recipe, arguments.data) if is_split else open_paths(loaded.recipe, [arguments.data])
    skipped: set[str] = set()
    features = extract(loaded.model, source, skipped=skipped, progress=show("embed"))
    temporary = output.with_name(f".writing_{output.name}")
    np.save(temporary, features)
    # numpy appends .npy to names without it; ours ends in it.
    temporary.replace(output)
    if skipped:
        print(f"{len(skipped)} unreadable samples stand for a neighbour, the first {min(skipped)}", file=sys.stderr)
    result = {
        "output": str(output),
        "samples": len(features),
        "features": features.shape[1],
        "skipped_samples": sorted(skipped),
    }
    print(json.dumps(result) if arguments.json else f"{output}: {len(features)} x {features.shape[1]} float32")
