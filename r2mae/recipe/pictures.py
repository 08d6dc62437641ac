"""Pictures of a run's held-out samples, stored so that a report need not load model and data."""

import contextlib
import json
import sys
from typing import Any

from r2mae import __version__
from r2mae.data.atomic import write_atomic
from r2mae.errors import InputError, first_line
from r2mae.schema.recipe import AnyRecipe
from r2mae.training.run_folder import RunFolder

_FILE = "held_out.json"


def stored_pictures(folder: RunFolder, manifest: dict[str, Any]) -> str | None:
    """HTML that was drawn from the checkpoint of a manifest by this version; None without.

    "" for a run without pictures.
    """
    try:
        stored = dict(json.loads((folder.pictures / _FILE).read_text()))
    except (OSError, ValueError, TypeError):  # absent or damaged: drawn again
        return None
    html, is_same = stored.get("html"), stored.get("drawn_from") == _origin(manifest)
    return html if is_same and isinstance(html, str) else None


def draw_pictures(folder: RunFolder) -> str:
    """HTML of the last checkpoint's pictures; stores it where the folder can be written.

    Raises: InputError, ImportError or OSError where the checkpoint, the data or a library
        is missing.
    """
    from r2mae.recipe.run import load_run

    loaded = load_run(folder.path)
    html = loaded.wing.draw_samples(loaded)
    content = {"drawn_from": _origin(loaded.manifest), "html": html}
    with contextlib.suppress(OSError):
        folder.pictures.mkdir(exist_ok=True)
        write_atomic(folder.pictures / _FILE, json.dumps(content))
    return html


def store_pictures(recipe: AnyRecipe, folder: RunFolder) -> None:
    """Draw a finished run's pictures, unless its recipe has none."""
    if not getattr(recipe.watch, "pictures", False):  # in pretraining recipes alone
        return
    try:
        draw_pictures(folder)
    except (InputError, ImportError, OSError, RuntimeError) as error:
        # The run itself is complete; a report tries again.
        line = f"{folder.path}: no pictures stored for reports: {first_line(error)}"
        print(line, file=sys.stderr, flush=True)


def _origin(manifest: dict[str, Any]) -> dict[str, Any]:
    """What pictures follow from: hashes of a checkpoint's files, and the version of the code."""
    return {"sha256": manifest.get("sha256"), "r2mae": __version__}
