"""`r2mae replay`: a step that was not finite, once more, and where it began."""

import argparse
from typing import Any

from r2mae.json_text import json_text
from r2mae.options import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`RUN` and `--step`."""
    parser.add_argument("run", metavar="RUN", help="a run folder with nonfinite.jsonl")
    parser.add_argument(
        "--step", type=positive, help="default: the last one that was not finite"
    )


def run(arguments: argparse.Namespace) -> None:
    """Repeat the step and print what was found."""
    from r2mae.recipe.replay import replay_step

    report = replay_step(arguments.run, arguments.step)
    if arguments.json:
        print(json_text(report))
        return
    row = report["recorded"]
    print(
        f"step {report['step']}, positions {row['positions'][0]} to {row['positions'][1] - 1}, from {report['from']}"
    )
    print(
        f"loss {report['loss']}, gradient norm {report['grad_norm']}; in the run {row['loss']} and {row['grad_norm']}"
    )
    for line in _found(report):
        print(line)


def _found(report: dict[str, Any]) -> list[str]:
    finding, lines = report["finding"], []
    if finding:
        inputs = "finite" if finding["inputs_finite"] else "not"
        module = f"{finding['module']} ({finding['type']})"
        line = (
            f"first module with a non-finite output: {module}; its inputs were {inputs}"
        )
        own = finding["weights_not_finite"]
        lines.append(
            line + (f"; not finite of its own: {', '.join(own)}" if own else "")
        )
        names = [
            f"{sample['sample']} (position {sample['position']})"
            for sample in report["samples"]
        ]
        lines.append(f"samples: {len(names)}, the first {', '.join(names[:3])}")
    elif report["gradients"]:
        lines.append("every module's output was finite; gradients were not")
    else:
        lines.append(
            "every output and gradient was finite: rounding on other devices, or a fault of theirs"
        )
    for key, what in (
        ("weights", "not finite before the step"),
        ("gradients", "gradients not finite"),
    ):
        if names := report[key]:
            lines.append(
                f"{what}: {len(names)} tensors, the first {', '.join(names[:3])}"
            )
    return lines
