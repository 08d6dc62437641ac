"""Checkpoint folders of safetensors and JSON: written atomically, hashed, without pickle.

step_120/model.safetensors       weights by parameter name
step_120/optimizer.safetensors   moments as <parameter name>/<moment>
step_120/ema.safetensors         moving average of the weights, with training.ema
step_120/manifest.json           recipe, law, preprocessing, data, step, versions; sha256 of each file
"""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from r2mae.data.atomic import flush, open_files
from r2mae.errors import InputError

FORMAT = 1
MODEL, OPTIMIZER, EMA, MANIFEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "ema.safetensors",
    "manifest.json",
)


def save(
    path: Path,
    files: dict[str, dict[str, Tensor]],
    description: dict[str, Any],
) -> None:
    """Write a checkpoint folder: into a temporary one, flushed to disk, then renamed.

    files: {MODEL: weights, OPTIMIZER: moments}, and EMA: moving average where there is one.
    """
    temporary = path.with_name(f".writing_{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for name, tensors in files.items():
            save_file(
                {
                    key: tensor.detach().cpu().contiguous()
                    for key, tensor in tensors.items()
                },
                temporary / name,
            )
        hashes = {name: _sha256(temporary / name) for name in files}
        manifest = {"format": FORMAT, **description, "sha256": hashes}
        hashes[MANIFEST] = _own_hash(manifest)
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (temporary / MANIFEST).write_text(text)
        open_files(temporary)
        for file in temporary.iterdir():
            flush(file)
        flush(temporary)
        if path.exists():  # the same step, saved again for another reason
            remove(path)
        temporary.rename(path)
        flush(path.parent)
    except SafetensorError as error:  # the disk's error is in its text only
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(errno.EIO, str(error), str(path)) from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint folder.

    Raises: InputError when it is missing, damaged or of another format.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(
            f"{path} must be a checkpoint folder with {MANIFEST}, got none. Name another checkpoint."
        )
    try:
        manifest = dict(json.loads(file.read_text()))
        if manifest["sha256"][MANIFEST] != _own_hash(manifest):
            raise ValueError("its sha256 does not match")
        if manifest["format"] != FORMAT:
            raise InputError(
                f"{file}: format must be {FORMAT}, got {manifest['format']}. Update r2mae."
            )
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from None
    return manifest


def remove(path: Path) -> None:
    """Delete a checkpoint folder; it is renamed first, so that a half-deleted one cannot be read."""
    if path.is_dir():
        gone = path.with_name(f".removing_{path.name}")
        path.rename(gone)
        shutil.rmtree(gone)


def load_tensors(path: Path, name: str, manifest: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint, on the CPU, after its sha256 was checked.

    Raises: InputError naming the file when it is missing or damaged.
    """
    file = path / name
    if not file.is_file():
        raise damaged(file, "no such file")
    actual, expected = _sha256(file), manifest["sha256"].get(name)
    if actual != expected:
        raise damaged(
            file, f"sha256 {actual[:12]} where the manifest says {str(expected)[:12]}"
        )
    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise damaged(file, str(error)) from None


def damaged(file: Path, got: str) -> InputError:
    """The error for a damaged checkpoint, with the newest other one as the remedy."""
    folder = file.parent.parent
    others = sorted(
        (
            other.name
            for other in folder.glob("step_*")
            if other != file.parent and (other / MANIFEST).is_file()
        ),
        key=lambda name: int(name.removeprefix("step_")),
    )
    remedy = (
        f"Delete {file.parent} to continue from {others[-1]}."
        if others
        else "Start over with --fresh."
    )
    return InputError(
        f"{file} must be an undamaged checkpoint file, got {got}. {remedy}"
    )


def _own_hash(manifest: dict[str, Any]) -> str:
    """sha256 of a manifest without this hash itself."""
    others = {
        name: value for name, value in manifest["sha256"].items() if name != MANIFEST
    }
    text = json.dumps(manifest | {"sha256": others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
