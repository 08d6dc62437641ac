"""What docs/theory.md measures: python scripts/theory.py [reference.json] prints one section after another (15 min)."""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np

from r2mae.law import FixedRatio, UniformRatio
from r2mae.theory import (
    Spectrum,
    build_covariance,
    build_problem,
    mask_aware,
    predict,
    regress_on_others,
    simulate,
)

CASES = {
    "ar1": ("ar1:0.9", 100),
    "equicorrelated": ("equicorrelated:0.5", 0),
    "blocks": ("blocks:25:0.8", 0),
}
CORES = {"isotropic": (np.eye(200), np.eye(200)[0], 0.25)} | {
    name: regress_on_others(build_covariance(words, 201), target)
    for name, (words, target) in CASES.items()
}


def law_of(point):
    return (
        FixedRatio(point["low"])
        if point["low"] == point["high"]
        else UniformRatio(point["low"], point["high"])
    )


def reference(points):
    """Our predictions against the reference's, and our simulation against its."""
    gaps, near, plain, conditioned = [], 0, [], []
    for number, point in enumerate(points):
        case, law = CORES[point["case"]], law_of(point)
        options = {"test_mask_ratio": point["test_mask_ratio"], "ridge": point["ridge"]}
        ours = predict(
            build_problem(*case), point["num_rows"], law, nodes=8, **options
        ).excess_risk
        gaps.append(abs(ours / point["predicted_excess_risk"] - 1))
        drawn = simulate(
            *case, point["num_rows"], law, num_sets=150, seed=number, **options
        )
        joint = math.hypot(drawn.standard_error, point["standard_error"])
        near += abs(drawn.excess_risk - point["simulated_excess_risk"]) < 3 * joint
        gap = ours / point["simulated_excess_risk"] - 1
        if point["case"] == "equicorrelated" and abs(gap) > 0.08:
            better = predict(
                build_problem(*case, leading_factors=1),
                point["num_rows"],
                law,
                **options,
            ).excess_risk
            plain.append(abs(gap))
            conditioned.append(abs(better / point["simulated_excess_risk"] - 1))
    print(
        f"reference: {len(points)} points, largest relative gap of predictions {max(gaps):.1e}"
    )
    print(
        f"simulations within 3 joint standard errors: {near} of {len(points)} ({near / len(points):.1%})"
    )
    for name, values in (("plain", plain), ("conditioned", conditioned)):
        print(
            f"{name}: {len(values)} points, median gap {statistics.median(values):.1%}, worst {max(values):.1%}"
        )


def figure(path):
    """Predicted curves and simulated points, both regimes of masking."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    for axes, (name, masks) in zip(
        drawing.subplots(1, 2),
        (("one mask a row", 1), ("a fresh mask at every visit", math.inf)),
        strict=True,
    ):
        case = CORES["ar1"]
        problem = build_problem(*case)
        for rows in (100, 400, 1600):
            ratios = np.linspace(0.05, 0.9, 60)
            curve = [
                predict(
                    problem, rows, FixedRatio(float(p)), masks_per_row=masks
                ).excess_risk
                for p in ratios
            ]
            line = axes.plot(ratios, curve, label=f"N = {rows}, fixed")[0]
            for p in (0.1, 0.3, 0.5, 0.7, 0.9):
                drawn = simulate(
                    *case, rows, FixedRatio(p), masks_per_row=masks, num_sets=40
                )
                axes.errorbar(
                    p,
                    drawn.excess_risk,
                    2 * drawn.standard_error,
                    fmt="o",
                    color=line.get_color(),
                    ms=4,
                )
            law = UniformRatio(0.2, 0.8)
            drawn = simulate(*case, rows, law, masks_per_row=masks, num_sets=40)
            risk = predict(problem, rows, law, masks_per_row=masks).excess_risk
            axes.plot([0.2, 0.8], [risk, risk], color=line.get_color(), linestyle=":")
            axes.errorbar(
                0.5,
                drawn.excess_risk,
                2 * drawn.standard_error,
                fmt="s",
                color=line.get_color(),
                ms=5,
            )
        axes.set(
            title=name, xlabel="mask ratio (dotted: uniform 0.2 to 0.8)", yscale="log"
        )
        axes.legend(frameon=False, fontsize=8)
    drawing.axes[0].set_ylabel("excess test risk")
    drawing.savefig(path)


def finite_size():
    """Gap of the prediction at fixed d / N = 2, ridgeless, high ratio."""
    for dim, sets in ((100, 2000), (200, 1000), (400, 400), (800, 100), (1600, 24)):
        case = regress_on_others(build_covariance("ar1:0.9", dim + 1), dim // 2)
        predicted = predict(
            build_problem(*case), dim // 2, FixedRatio(0.75)
        ).excess_risk
        drawn = simulate(*case, dim // 2, FixedRatio(0.75), num_sets=sets)
        gap, error = (
            predicted / drawn.excess_risk - 1,
            drawn.standard_error / drawn.excess_risk,
        )
        print(f"finite size: d {dim}: gap {gap:+.1%} (standard error {error:.1%})")


def stopping():
    """Gradient flow against simulated gradient descent."""
    case = regress_on_others(build_covariance("ar1:0.7", 401), 200)
    problem = build_problem(case[0], case[1], case[2] + 0.3)
    for masks in (1, math.inf):
        for rows in (200, 1200):
            for moment in (0.5, 2.0, 8.0, 32.0, 128.0):
                options = {"train_time": moment, "masks_per_row": masks}
                predicted = predict(
                    problem, rows, UniformRatio(0.1, 0.5), **options
                ).excess_risk
                drawn = simulate(
                    case[0],
                    case[1],
                    case[2] + 0.3,
                    rows,
                    UniformRatio(0.1, 0.5),
                    num_sets=150,
                    **options,
                )
                gap, error = (
                    predicted / drawn.excess_risk - 1,
                    drawn.standard_error / drawn.excess_risk,
                )
                print(
                    f"time {moment:g}, masks {masks}, N {rows}: gap {gap:+.1%} (standard error {error:.1%})"
                )


def speed():
    """Medians of 7; simulation up to a standard error of 1 %."""
    for dim in (1000, 20000):
        values = np.random.default_rng(0).gamma(0.5, size=dim)
        spectrum, b = (
            Spectrum(values / values.mean()),
            np.random.default_rng(1).standard_normal(dim) / dim**0.5,
        )
        times = []
        for _ in range(7):
            start = time.perf_counter()
            predict(build_problem(spectrum, b, 0.3), dim // 2, UniformRatio(0.1, 0.5))
            times.append(time.perf_counter() - start)
        print(f"speed: spectral, d {dim}: {statistics.median(times) * 1e3:.1f} ms")
    case = regress_on_others(build_covariance("ar1:0.9", 201), 100)
    problem = build_problem(*case)
    start = time.perf_counter()
    for _ in range(100):
        predict(problem, 100, UniformRatio(0.1, 0.5))
    one = (time.perf_counter() - start) / 100
    start, sets = time.perf_counter(), 200
    drawn = simulate(*case, 100, UniformRatio(0.1, 0.5), num_sets=sets)
    needed = sets * (drawn.standard_error / drawn.excess_risk / 0.01) ** 2
    simulated = (time.perf_counter() - start) * needed / sets
    print(
        f"speed: d 200: {one * 1e3:.2f} ms against {simulated:.1f} s for 1 %: {simulated / one:,.0f} times"
    )


def seeing():
    """One coefficient vector a ratio, against one for all and against the best fixed ratio."""
    asked = np.round(np.arange(0.05, 0.91, 0.05), 2).tolist()
    grid = np.round(np.arange(0.02, 0.97, 0.02), 2)
    wide = UniformRatio(0.02, 0.95)
    for words in ("identity", "ar1:0.9", "blocks:25:0.8", "equicorrelated:0.5"):
        matrix = build_covariance(words, 201)
        case = (
            regress_on_others(matrix, 100)
            if words != "identity"
            else (np.eye(200), np.eye(200)[0], 0.25)
        )
        problem = build_problem(*case)
        for rows in (100, 400, 2000):
            options = {"masks_per_row": math.inf}
            found = mask_aware(problem, rows, wide, test_mask_ratios=asked, levels=32)
            best = min(
                statistics.mean(
                    predict(
                        problem,
                        rows,
                        FixedRatio(float(p)),
                        test_mask_ratio=q,
                        **options,
                    ).excess_risk
                    for q in asked
                )
                for p in grid
            )
            split = mask_aware(
                problem, rows, wide, test_mask_ratios=asked, masks_per_row=1
            )
            print(
                f"seeing the mask, {words}, N {rows}: gain over one vector {found.gain:.1%}, over the best fixed "
                f"ratio {1 - found.aware / best:.1%}; one mask a row {split.gain:.1%}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--figure", metavar="FILE.png", help="draw predicted against simulated instead"
    )
    parser.add_argument("reference", nargs="?", type=Path, help="theory_reference.json")
    arguments = parser.parse_args()
    path = arguments.reference
    if arguments.figure:
        figure(arguments.figure)
        raise SystemExit
    speed()
    seeing()
    stopping()
    if path is not None:
        reference(json.loads(path.read_text()))
    finite_size()
