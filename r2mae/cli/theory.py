"""`r2mae theory`: risk and curves of a linear problem; `recommend` is in `cli/recommend.py`."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r2mae.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Answer one question; what the theory refuses is bad input."""
    if arguments.question == "recommend":
        from r2mae.cli.recommend import run as recommend

        recommend(arguments)
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
    found = asdict(predict(problem, arguments.num_rows, law, **_options(arguments)))
    asked: dict[str, Any] = {"ratio": distribution_to_dict(law), "covariance": arguments.covariance}
    acts_like = effective_ratio(law, arguments.objective)
    if arguments.json:
        plain = {key: str(value) if value in (math.inf, -math.inf) else value for key, value in found.items()}
        plain = {key: None if value != value else value for key, value in plain.items()}
        print(json.dumps(asked | plain | {"acts_like_with_fresh_masks": acts_like}))
        return
    if math.isinf(found["excess_risk"]):
        print(f"excess risk inf: as many rows as features ({problem.dim}) and no ridge")
        return
    dof = found["degrees_of_freedom"]
    print(f"excess risk {found['excess_risk']:.6g} = bias {found['bias']:.6g} + variance {found['variance']:.6g}")
    print(
        f"{found['num_rows']:g} rows train {problem.dim} features"
        + ("" if dof is None else f", {dof:.4g} degrees of freedom")
        + f"; response variance {problem.signal + problem.noise_variance:.6g}"
    )
    print(f"with a fresh mask at every visit the law acts like the fixed ratio {acts_like:.4g}")


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
            f"{arguments.ratio} with fresh masks:": effective_ratio(parse_law(arguments.ratio), arguments.objective)
        }
    lines = {}
    options = _options(arguments)
    for label, masks in (("one mask a row", 1.0), ("a fresh mask at every visit", math.inf)):
        options["masks_per_row"] = masks
        risks = [predict(problem, arguments.num_rows, FixedRatio(float(p)), **options).excess_risk for p in ratios]
        lines[label] = risks
    draw_curves(ratios.tolist(), lines, arguments.output, marks)
    if arguments.json:
        print(json.dumps({"ratio": ratios.tolist(), **lines}))
    else:
        print(f"drawn: {arguments.output}")


def _problem(arguments: argparse.Namespace) -> Any:
    import numpy as np

    from r2mae.theory import build_covariance, build_problem, regress_on_others

    if not arguments.noise_variance >= 0:
        raise InputError(f"--noise-variance must be at least 0, got {arguments.noise_variance:g}.")
    count = arguments.num_features
    has_target = arguments.target is not None
    covariance = build_covariance(arguments.covariance, None if count is None else count + has_target)
    noise = arguments.noise_variance
    if has_target:
        if arguments.coefficients is not None:
            raise InputError("--coefficients must not be given with --target, whose coefficients follow from S.")
        covariance, coefficients, left = regress_on_others(covariance, arguments.target)
        noise += left
    elif arguments.coefficients is not None:
        try:
            coefficients = np.load(Path(arguments.coefficients), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise InputError(f"{arguments.coefficients} must be a .npy file with {len(covariance)} numbers.") from None
    else:
        coefficients = np.eye(1, len(covariance))[0]
    return build_problem(covariance, coefficients, noise, leading_factors=arguments.leading_factors)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("test_mask_ratio", "ridge", "train_time", "masks_per_row", "objective")
    return {name: getattr(arguments, name) for name in names}


def parse_law(text: str) -> Any:
    """`0.5`, `fixed:0.5`, `uniform:0.1:0.5`, ... as a distribution of ratios.

    Raises: InputError for other words; ValueError for numbers that break a law's rule.
    """
    from r2mae.law import DISTRIBUTIONS, FixedRatio

    name, *words = text.split(":")
    known = [tag for tag in DISTRIBUTIONS if tag != "mixture"]
    try:
        if not words:
            return FixedRatio(float(name))
        return DISTRIBUTIONS[name](*(float(word) for word in words))
    except (KeyError, TypeError):
        rule = f"be a ratio or one of {', '.join(known)} with its numbers, such as uniform:0.1:0.5"
        raise InputError(f"--ratio must {rule}, got {text!r}.") from None
    except ValueError as error:
        raise InputError(f"--ratio {text}: {error}") from None
