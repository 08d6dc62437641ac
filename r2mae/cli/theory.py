"""`r2mae theory`: risk and curves of a linear problem; `recommend` is in `cli/recommend.py`."""

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r2mae.cli import recommend
from r2mae.cli.arguments import Parser, add_json
from r2mae.errors import InputError
from r2mae.json_text import json_text
from r2mae.options import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`risk`, `plot` and `recommend`."""
    questions = parser.add_subparsers(
        dest="question", required=True, metavar="QUESTION", parser_class=Parser
    )
    for name, text in (
        ("risk", "excess test risk of a law"),
        ("plot", "excess test risk against the fixed ratio"),
    ):
        added = questions.add_parser(name, help=text, description=text)
        add_json(added)
        _add_problem(added)
        law = "0.5, uniform:LOW:HIGH, beta:A:B:LOW:HIGH or truncated_normal:MEAN:SD:LOW:HIGH"
        added.add_argument("--ratio", required=name == "risk", metavar="LAW", help=law)
        if name == "plot":
            added.add_argument("-o", "--output", required=True, metavar="FILE.png")
    text = "which mask-ratio law for a recipe's data"
    described = f"{text}, for a linear model. {recommend.CAUTION}"
    added = questions.add_parser("recommend", help=text, description=described)
    add_json(added)
    recommend.add_arguments(added)


def _add_problem(parser: argparse.ArgumentParser) -> None:
    """Options of the linear problem."""
    covariance = "identity, ar1:R, equicorrelated:R, blocks:SIZE:R or FILE.npy"
    parser.add_argument("--covariance", required=True, metavar="S", help=covariance)
    parser.add_argument(
        "--num-features",
        type=positive,
        metavar="D",
        help="features of the input; not needed for FILE.npy",
    )
    parser.add_argument(
        "--num-rows",
        type=positive,
        required=True,
        metavar="N",
        help="training samples",
    )
    parser.add_argument(
        "--objective",
        choices=("downstream", "reconstruction"),
        default="downstream",
        help="loss on the response (default), or on masked features",
    )
    target = (
        "feature J of D + 1 is the response; else the response is feature 0 plus noise"
    )
    parser.add_argument("--target", type=int, metavar="J", help=target)
    parser.add_argument(
        "--coefficients", metavar="FILE.npy", help="(D,) instead of feature 0"
    )
    _add_training(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Options for noise, test input and training."""
    noise = "variance of the noise, added to the residual of --target; default 0"
    parser.add_argument(
        "--noise-variance", type=float, default=0.0, metavar="V", help=noise
    )
    parser.add_argument(
        "--test-mask-ratio",
        type=float,
        default=0.0,
        metavar="Q",
        help="mask ratio of the test input; default 0",
    )
    parser.add_argument(
        "--ridge", type=float, default=0.0, metavar="L", help="ridge penalty; default 0"
    )
    parser.add_argument(
        "--train-time",
        type=float,
        default=math.inf,
        metavar="T",
        help="learning rate x steps; default inf, convergence",
    )
    parser.add_argument(
        "--masks-per-row",
        type=float,
        default=1,
        metavar="M",
        help="masks drawn for each sample: 1 (default) or inf, a fresh mask at every visit",
    )
    parser.add_argument("--leading-factors", type=int, default=0, choices=(0, 1))


def run(arguments: argparse.Namespace) -> None:
    """Run one subcommand; a ValueError of the theory becomes an InputError."""
    if arguments.question == "recommend":
        recommend.run(arguments)
        return
    try:
        {"risk": _risk, "plot": _plot}[arguments.question](arguments)
    except ValueError as error:
        raise InputError(str(error)) from None


def _risk(arguments: argparse.Namespace) -> None:
    from r2mae.law import distribution_to_dict
    from r2mae.theory import effective_ratio, predict

    law = parse_law(arguments.ratio)
    problem = _problem(arguments)
    risk = asdict(predict(problem, arguments.num_rows, law, **_options(arguments)))
    acts_like = effective_ratio(law, arguments.objective)
    if arguments.json:
        question = {
            "ratio": distribution_to_dict(law),
            "covariance": arguments.covariance,
        }
        print(json_text(question | risk | {"acts_like_with_fresh_masks": acts_like}))
        return
    if math.isinf(risk["excess_risk"]):
        print(f"excess risk inf: as many rows as features ({problem.dim}) and no ridge")
        return
    dof = risk["degrees_of_freedom"]
    print(
        f"excess risk {risk['excess_risk']:.6g} = bias {risk['bias']:.6g} + variance {risk['variance']:.6g}"
    )
    print(
        f"{risk['num_rows']:g} rows train {problem.dim} features"
        + ("" if dof is None else f", {dof:.4g} degrees of freedom")
        + f"; response variance {problem.signal + problem.noise_variance:.6g}"
    )
    print(
        f"with a fresh mask at every visit the law acts like the fixed ratio {acts_like:.4g}"
    )


def _plot(arguments: argparse.Namespace) -> None:
    import numpy as np

    from r2mae.advice import check_picture_path, draw_curves
    from r2mae.law import FixedRatio
    from r2mae.theory import effective_ratio, predict

    check_picture_path(arguments.output)
    problem = _problem(arguments)
    ratios = np.round(np.linspace(0.02, 0.96, 48), 2)
    marks = {}
    if arguments.ratio is not None:
        marks = {
            f"{arguments.ratio} with fresh masks:": effective_ratio(
                parse_law(arguments.ratio), arguments.objective
            )
        }
    lines = {}
    options = _options(arguments)
    for label, masks in (
        ("one mask a row", 1.0),
        ("a fresh mask at every visit", math.inf),
    ):
        options["masks_per_row"] = masks
        risks = [
            predict(
                problem, arguments.num_rows, FixedRatio(float(p)), **options
            ).excess_risk
            for p in ratios
        ]
        lines[label] = risks
    draw_curves(ratios.tolist(), lines, arguments.output, marks)
    if arguments.json:
        print(json_text({"ratio": ratios.tolist(), **lines}))
    else:
        print(f"drawn: {arguments.output}")


def _problem(arguments: argparse.Namespace) -> Any:
    import numpy as np

    from r2mae.theory import build_covariance, build_problem, regress_on_others

    if not arguments.noise_variance >= 0:
        raise InputError(
            f"--noise-variance must be at least 0, got {arguments.noise_variance:g}."
        )
    count = arguments.num_features
    has_target = arguments.target is not None
    covariance = build_covariance(
        arguments.covariance, None if count is None else count + has_target
    )
    noise = arguments.noise_variance
    if has_target:
        if arguments.coefficients is not None:
            raise InputError(
                "--coefficients must not be given with --target, whose coefficients follow from S."
            )
        covariance, coefficients, left = regress_on_others(covariance, arguments.target)
        noise += left
    elif arguments.coefficients is not None:
        try:
            coefficients = np.load(Path(arguments.coefficients), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise InputError(
                f"{arguments.coefficients} must be a .npy file with {len(covariance)} numbers."
            ) from None
    else:
        coefficients = np.eye(1, len(covariance))[0]
    return build_problem(
        covariance, coefficients, noise, leading_factors=arguments.leading_factors
    )


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("test_mask_ratio", "ridge", "train_time", "masks_per_row", "objective")
    return {name: getattr(arguments, name) for name in names}


def parse_law(text: str) -> Any:
    """`0.5`, `fixed:0.5`, `uniform:0.1:0.5`, ... as a distribution of ratios.

    Raises: InputError for other text; ValueError for numbers that break a law's rule.
    """
    from r2mae.law import DISTRIBUTIONS, FixedRatio

    name, *numbers = text.split(":")
    names = [tag for tag in DISTRIBUTIONS if tag != "mixture"]
    try:
        if not numbers:
            return FixedRatio(float(name))
        return DISTRIBUTIONS[name](*map(float, numbers))
    except (KeyError, TypeError):
        rule = f"be a ratio or one of {', '.join(names)} with its numbers"
        raise InputError(
            f"--ratio must {rule}, such as uniform:0.1:0.5, got {text!r}."
        ) from None
    except ValueError as error:
        raise InputError(f"--ratio {text}: {error}") from None
