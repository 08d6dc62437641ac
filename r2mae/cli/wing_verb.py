"""A command that one modality has, such as `fill`: the run is loaded here, the rest is the wing's."""

from argparse import Namespace

from r2mae.errors import InputError
from r2mae.wing import Verb


def run_verb(name: str, verb: Verb, arguments: Namespace) -> None:
    """Load RUN and hand it to the verb.

    Raises: InputError for a run of a modality that does not have the verb.
    """
    from r2mae.recipe.run import load_run

    verb.check(arguments)
    loaded = load_run(arguments.run, arguments.checkpoint, arguments.weights)
    if loaded.wing.verbs.get(name) is not verb:
        raise InputError(
            f"RUN must be of a modality that has {name}, got one on {loaded.recipe.modality}."
        )
    verb.run(loaded, arguments)
