"""Sources that are a path here or an id on the hub of models.

The hub is asked once, before libraries ask it for each of a dozen files, several times.
"""

from pathlib import Path

from r2mae.errors import InputError, first_line


def is_local(source: str) -> bool:
    """Whether a source is a path on this machine, there or not, and no hub id.

    A hub id is `name` or `owner/name`. One that the hub's cache lacks is taken for a path
    where `owner` is a folder here.
    """
    if source.startswith(("runs/", "/", ".", "~")) or source.count("/") > 1:
        return True
    if Path(source).exists():
        return True
    return "/" in source and Path(source).parent.is_dir() and not _is_cached(source)


def check_source(source: str, key: str) -> None:
    """Raise InputError unless source is a path, a model in the hub's cache, or one that the hub has."""
    from huggingface_hub import HfApi

    if Path(source).exists():
        return
    if is_local(source):
        owner = Path(source).parent
        could_be_an_id = source.count("/") == 1 and source[0] not in "./~"
        taken = ""
        if could_be_an_id and owner.is_dir():
            taken = f" It is taken for a path, as there is a folder {owner} here."
        raise InputError(
            f"{key} must exist, got {source!r}.{taken} Check the path, or give a run, "
            "another folder or a hub id."
        )
    if _is_cached(source):
        return
    try:
        HfApi().model_info(source, timeout=10)
    except Exception as error:
        raise InputError(
            f"{key} must be a folder, or a hub id that can be had, got {source!r}: {first_line(error)}."
        ) from None


def _is_cached(source: str) -> bool:
    """Whether the hub's cache has a model."""
    from huggingface_hub import constants

    name = f"models--{source.replace('/', '--')}"
    return (Path(constants.HF_HUB_CACHE) / name).is_dir()
