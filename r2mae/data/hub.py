"""The hub of models: asked once, before libraries ask it for each of a dozen files, several times."""

from pathlib import Path

from r2mae.errors import InputError, first_line


def check_source(source: str, key: str) -> None:
    """Raise InputError unless source is a folder, a model in the hub's cache, or one that the hub has."""
    from huggingface_hub import HfApi, constants

    if Path(source).exists():
        return
    kept = Path(constants.HF_HUB_CACHE) / f"models--{source.replace('/', '--')}"
    if kept.is_dir():
        return
    try:
        HfApi().model_info(source, timeout=10)
    except Exception as error:
        raise InputError(
            f"{key} must be a folder, or a hub id that can be had, got {source!r}: {first_line(error)}."
        ) from None
