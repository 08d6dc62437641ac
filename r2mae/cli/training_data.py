"""Whether the data that a run's test split is drawn from is still what the run was trained on."""

import sys

from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun


def warn_of_changed_data(loaded: LoadedRun) -> bool:
    """Say on stderr, and return, whether test samples may be among those that a run was trained on.

    That is so where the test split is drawn from the training data, and this has changed
    since. Labels may have been added meanwhile, so it is no error.
    """
    before = loaded.manifest["data"]
    if not loaded.wing.draws_test_split(loaded.recipe):
        return False
    try:
        train = loaded.wing.open_split(loaded.recipe, "train")
    except InputError:  # what reads it says what is missing
        return False
    if train.fingerprint == before["fingerprint"]:
        return False
    print(
        f"{loaded.folder.path}: the data has changed since training on {before['samples']:,} samples "
        f"(fingerprint {before['fingerprint']}, now {train.fingerprint}), and the test split is drawn "
        "from it: test samples may be among those that the run was trained on. "
        "Restore the data, or train again.",
        file=sys.stderr,
    )
    return True
