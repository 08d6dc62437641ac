"""Whether a run's data is still what it was trained on."""

import sys

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun


def warn_of_changed_data(loaded: LoadedRun) -> bool:
    """Say on stderr, and return, whether a run's training data has changed since it was trained.

    Splits are drawn from the data, so that test samples may then be among those that it was trained on.
    Labels may have been added meanwhile, so this is no error. False where the data is not there.
    """
    before = loaded.manifest["data"]
    try:
        train = loaded.wing.open_split(loaded.recipe, "train")
    except InputError:  # what reads it says what is missing
        return False
    if train.fingerprint == before["fingerprint"]:
        return False
    print(
        f"{loaded.folder.path}: the data has changed since training on {before['samples']:,} samples "
        f"(fingerprint {before['fingerprint']}, now {train.fingerprint}): test samples may be "
        "among those that the run was trained on",
        file=sys.stderr,
    )
    return True
