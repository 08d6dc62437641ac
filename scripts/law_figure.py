"""Draw the mean regrets of mask-ratio laws in all studies, from the tables that law_tables.py filled.

    python scripts/law_figure.py docs/results.md docs/regrets.png

A study of several variants, such as sizes of model, is left out.
"""

import argparse
import re
from pathlib import Path

from law_tables import subject

from r2mae.recipe.shipped import find_study
from r2mae.schema.document import load_document

_ORDER = re.compile(r"<!-- laws in detail: ([^>]*?) -->")
_BLOCK = re.compile(r"<!-- study: (\S+) -->\n(.*?)<!-- end -->", re.DOTALL)
_LINE = re.compile(r"^\| (fixed ([\d.]+)|[^|]+?) \| ([\d.]+)% \|", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, metavar="FILE.md")
    parser.add_argument("picture", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    draw(regrets(arguments.page.read_text()), arguments.picture)


def regrets(page):
    """{study: ({fixed ratio: mean regret}, mean regret of the primary law)}, in %, by the tables of a page.

    The order is that of the page's table of all studies.
    """
    blocks, found = dict(_BLOCK.findall(page)), {}
    for name in _ORDER.search(page)[1].split():
        fixed, primary = {}, []
        for law, ratio, regret in _LINE.findall(blocks[name]):
            if ratio:
                fixed[float(ratio)] = float(regret)
            elif law == load_document(find_study(name))["primary"]:
                primary.append(float(regret))
        if len(primary) == 1:
            found[name] = fixed, *primary
    return found


def draw(found, path):
    """A line for each study: a disc for each fixed ratio, a star for the primary law."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 0.36 * len(found) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    for row, (fixed, primary) in enumerate(found.values()):
        options = {"cmap": "viridis_r", "vmin": 0, "vmax": 1, "edgecolors": "#555"}
        rows = [row] * len(fixed)
        discs = axes.scatter(fixed.values(), rows, c=[*fixed], s=70, **options)
        options = {"marker": "*", "c": "#d62728", "edgecolors": "white", "zorder": 3}
        axes.scatter(primary, row, s=200, **options)
    axes.set_xscale("function", functions=(lambda x: abs(x) ** 0.5, lambda x: x**2))
    ticks = [0, 0.5, 2, 5, 10, 20, 40]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.set_yticks(range(len(found)), [subject(name) for name in found])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#ddd")
    axes.set_axisbelow(True)
    axes.set_xlabel("mean regret over all measurements (axis: square root)")
    axes.set_title("One run under random ratios (star), and runs at fixed ratios")
    figure.colorbar(discs, ax=axes, label="fixed mask ratio", pad=0.01, aspect=40)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
