"""Export a loaded run: a folder that another library reads, with a model card."""

import re
from pathlib import Path

from r2mae.data.atomic import atomic_folder
from r2mae.errors import InputError, did_you_mean, first_line
from r2mae.interop.exports import Export
from r2mae.interop.model_card import model_card
from r2mae.loaded_run import LoadedRun

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def export_run(loaded: LoadedRun, target: str, folder: Path) -> float:
    """Write a folder for a target of `LoadedRun.wing.export_targets`, and its README.md.

    Returns: the largest difference between the run's outputs and the loaded model's.

    Raises: InputError for another target, a folder in use, or a model that the target
        cannot express.
    """
    export = find_export(loaded, target)
    with atomic_folder(folder) as unfinished:
        difference = export.write(loaded, unfinished)
        task = export.tasks[loaded.num_classes is not None]
        if loaded.recipe.task == "finetune":
            task = loaded.recipe.tune.target.hub_task or task  # type: ignore[attr-defined]
        card = model_card(loaded, export.library, task, export.load_with(loaded))
        (unfinished / "README.md").write_text(card)
    return difference


def find_export(loaded: LoadedRun, target: str) -> Export:
    """The export of that name. Raises: InputError naming the run's targets."""
    targets = loaded.wing.export_targets
    if target not in targets:
        raise InputError(
            f"--to must be {', '.join(targets)} for runs on {loaded.recipe.modality}, "
            f"got {target}. {did_you_mean(target, targets)}"
        )
    return targets[target]


def check_hub_name(name: str | None) -> None:
    """Raise InputError unless a name is OWNER/NAME, or None."""
    if name is not None and not _HUB_NAME.fullmatch(name):
        raise InputError(
            f"--push must be OWNER/NAME on the Hugging Face hub, got {name!r}."
        )


def push(folder: Path, name: str) -> str:
    """Upload a folder to a repository of the Hugging Face hub, created where it is absent.

    Returns: its address.

    Raises: InputError where the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        address = api.create_repo(name, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Add the exported model"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise InputError(
            f"--push must name a repository that you may write to, got {name}: "
            f"{first_line(error)}. The folder {folder} is complete; run: hf auth login."
        ) from None
    return str(address)
