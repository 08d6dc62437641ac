"""A command that one modality has, such as `fill`: the run is loaded here, the rest is the wing's."""

from argparse import Namespace

from r2mae.errors import InputError
from r2mae.wing_commands import Subcommand


def run_subcommand(name: str, subcommand: Subcommand, arguments: Namespace) -> None:
    """Load RUN and hand it to the subcommand.

    Raises: InputError for a run of a modality that does not have the subcommand.
    """
    from r2mae.recipe.run import load_run

    subcommand.check(arguments)
    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    if loaded.wing.subcommands.get(name) is not subcommand:
        raise InputError(
            f"RUN must be of a modality that has {name}, got one on {loaded.recipe.modality}."
        )
    subcommand.run(loaded, arguments)
