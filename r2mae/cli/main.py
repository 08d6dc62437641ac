"""`r2mae`: runs the verb that the command line names."""

import importlib
import os
import sys

from r2mae.cli.parser import build_parser
from r2mae.cli.show import show_counted
from r2mae.datasets.progress import listener

_TRAINING = ("pretrain", "finetune", "demo")


def main(argv: list[str] | None = None) -> int:
    """Run one verb; give its exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser().parse_args(words)
    # OpenMP threads that spin while they wait make every small operation wait for the scheduler as soon as another
    # process wants a core: 3.1 ms became 17.6 ms (4,352 x 64 x 256 linear map and GELU, 2 cores, one of them busy).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        if arguments.verb in _TRAINING:
            from r2mae.cli.launch import end_with_parent, launch

            end_with_parent()
            if (code := launch(arguments, words)) is not None:
                return code
        listener.set(show_counted())
        importlib.import_module(f"r2mae.cli.{arguments.verb.replace('-', '_')}").run(arguments)
        sys.stdout.flush()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        from r2mae.cli.ending import end

        return end(error, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
