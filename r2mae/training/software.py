"""The software that a run is made with."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "r2mae",
    "torch",
    "pytorch-lightning",
    "timm",
    "transformers",
    "datasets",
    "numpy",
    "safetensors",
)


def versions() -> dict[str, str]:
    """Versions of what a result depends on; packages that are not installed are left out."""
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """The git commit of the source that runs, with `+` when it was edited; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", str(here), *arguments),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    try:
        edited = bool(git("status", "--porcelain", "--untracked-files=no").strip())
        return git("rev-parse", "HEAD").strip() + ("+" if edited else "")
    except (OSError, subprocess.CalledProcessError):
        return None
