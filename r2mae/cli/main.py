"""`r2mae`: runs the command that the command line names."""

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from r2mae import __version__
from r2mae.cli.arguments import Parser, add_json, add_run
from r2mae.cli.interrupt import exit_on_interrupted_import
from r2mae.errors import InputError

COMMANDS = {
    "pretrain": "pretrain a model from a recipe; the same command continues the run",
    "finetune": "fine-tune an encoder on labels; the same command continues the run",
    "check": "show what a recipe means and costs; train nothing",
    "mask": "show which tokens would be masked",
    "theory": "predict the test risk of mask-ratio laws by linear theory",
    "study": "train under several mask-ratio laws, and compare them with statistics",
    "report": "write one HTML page about runs: losses, probes, throughput, pictures",
    "compare": "print a table of several runs, and the recipe keys that differ",
    "evaluate": "score a run's frozen features on the test split",
    "embed": "write features of samples, without masking",
    "predict": "write a fine-tuned run's predictions: classes with probabilities, or numbers",
    "export": "export a run's model to another library",
    "data": "convert files to stores for training, and describe a store",
    "recipe": "list and show the recipes that come with r2mae",
    "demo": "pretrain a small model in about a minute, and compare it with baselines",
    "verify-resume": "kill and continue short runs of a recipe, and compare them with uninterrupted ones",
    "replay": "repeat a step with a non-finite loss, and name the module where it began",
}
_TRAINING = ("pretrain", "finetune", "demo")
_USAGE_ERROR = 2


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # OpenMP threads that spin while they wait make every small operation wait for the scheduler as soon as another
    # process wants a core: 3.1 ms became 17.6 ms (4,352 x 64 x 256 linear map and GELU, 2 cores, one of them busy).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = Namespace(json=False)
    with exit_on_interrupted_import():
        try:
            run, arguments = parse(argv)
            _check_not_empty(arguments)
            return _run(run, arguments, argv)
        except (Exception, KeyboardInterrupt) as error:
            from r2mae.cli.ending import end

            return end(error, arguments)


def _run(
    run: Callable[[Namespace], int | None], arguments: Namespace, argv: list[str]
) -> int:
    """Run a command here, or in a process for each rank; returns the exit code."""
    if arguments.subcommand in _TRAINING:
        from r2mae.cli.launch import end_with_parent, launch

        end_with_parent()
        if (code := launch(arguments, [*argv])) is not None:
            return code
    from r2mae.progress import listener, progress_bars

    listener.set(progress_bars())
    code = run(arguments)
    sys.stdout.flush()
    return code or 0


def _check_not_empty(arguments: Namespace) -> None:
    """Raise InputError for an empty argument, which a path would read as this folder."""
    for name, value in vars(arguments).items():
        if value == "":
            raise InputError(f"{name} must not be empty, got ''. Name one.")


def parse(argv: Sequence[str]) -> tuple[Callable[[Namespace], int | None], Namespace]:
    """(function to run, its arguments); imports the module of the named command only.

    The function returns an exit code, or None for 0.
    """
    name, *rest = argv or [""]
    if name in COMMANDS:
        module = importlib.import_module(f"r2mae.cli.{name.replace('-', '_')}")
        parser = _command(name, COMMANDS[name])
        module.add_arguments(parser)
        if hasattr(module, "add_run_arguments"):  # options that depend on the run
            module.add_run_arguments(parser, rest)
        return module.run, parser.parse_args(rest, Namespace(subcommand=name))
    wing_command = _parse_wing_subcommand(name, rest)
    if wing_command is not None:
        return wing_command
    _overview().parse_args(argv)  # --help, --version or a usage error: exits
    raise SystemExit(_USAGE_ERROR)


def _parse_wing_subcommand(
    name: str, rest: list[str]
) -> tuple[Callable[[Namespace], int | None], Namespace] | None:
    """A command that one modality adds; None if no modality has it."""
    from r2mae.modalities import find_subcommand

    if not name or name.startswith("-"):
        return None
    subcommand = find_subcommand(name)
    if subcommand is None:
        return None
    parser = _command(name, subcommand.help)
    add_run(parser)
    subcommand.add_arguments(parser)

    def run(arguments: Namespace) -> None:
        from r2mae.cli.wing_subcommand import run_subcommand

        run_subcommand(name, subcommand, arguments)

    return run, parser.parse_args(rest, Namespace(subcommand=name))


def _command(name: str, text: str) -> Parser:
    parser = Parser(prog=f"r2mae {name}", description=text)
    if name not in ("data", "theory", "recipe"):  # their subcommands add it
        add_json(parser)
    return parser


def _overview() -> Parser:
    """`r2mae --help`: a line for each command; neither torch nor a wing is imported."""
    from r2mae.modalities import SUBCOMMANDS

    parser = Parser(
        prog="r2mae", description="Masked pretraining with random mask ratios."
    )
    parser.add_argument("--version", action="version", version=f"r2mae {__version__}")
    commands = parser.add_subparsers(
        dest="subcommand", required=True, metavar="COMMAND", parser_class=Parser
    )
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    for name, (wing, text) in SUBCOMMANDS.items():
        commands.add_parser(name, help=f"{text} ({wing})")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
