"""Does a model of an alignment score variants as well as the tree that the alignment was simulated on?

Run: python scripts/dna_phylogeny.py [FOLDER]    about 3 minutes on 2 cores; the last line is JSON.

SIMULATED: columns evolve independently from the reference along a known tree (Jukes and Cantor 1969), a third of them
at a slow rate. The oracle knows tree and rates: log P(ALT | other species) - log P(REF | other species), by Felsenstein
1981. Variants are random; those at slow columns count as harmful.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

# (name or subtrees, length of the branch above, in substitutions a site), seen from the reference.
NEAR = ([("c", 0.2), ("d", 0.2)], 0.1)
FAR = ([("e", 0.3), ("f", 0.3)], 0.2)
TREE = [([("a", 0.05), ([("b", 0.15), ([NEAR, FAR, ("g", 0.4)], 0.1)], 0.1)], 0.05)]
RATES, SHARES = np.array([0.1, 1.5]), np.array([1 / 3, 2 / 3])
COLUMNS, TEST = 300_000, 40_000


def stay(length, rate):
    """Chance to be a given other base, and to be the same one, after a branch."""
    other = (1 - np.exp(-4 / 3 * length * rate)) / 4
    return other, 1 - 3 * other


def evolve(subtrees, above, rates, draw, found):
    """Bases of all leaves below, from those above (C,)."""
    for below, length in subtrees:
        other, _ = stay(length, rates)
        is_changed = draw.random(len(above)) < 3 * other
        bases = np.where(
            is_changed, (above + draw.integers(1, 4, len(above))) % 4, above
        )
        if isinstance(below, str):
            found[below] = bases
        else:
            evolve(below, bases, rates, draw, found)


def likelihood(subtrees, leaves, rate):
    """(C, 4) of all leaves below, given each base above."""
    product = np.ones((len(next(iter(leaves.values()))), 4))
    for below, length in subtrees:
        inside = (
            np.eye(4)[leaves[below]]
            if isinstance(below, str)
            else likelihood(below, leaves, rate)
        )
        other, same = stay(length, rate)
        product *= other * inside.sum(axis=1, keepdims=True) + (same - other) * inside
    return product


def simulate(folder):
    """(reference (C,), other leaves, whether a column is slow (C,)); writes the alignment as FASTA."""
    draw = np.random.default_rng(0)
    kind = draw.choice(2, COLUMNS, p=SHARES)
    reference, leaves = draw.integers(0, 4, COLUMNS), {}
    evolve(TREE, reference, RATES[kind], draw, leaves)
    rows = {"ref": reference, **leaves}
    letters = np.array(list("ACGT"))
    text = "".join(
        f">{name}\n{''.join(letters[bases])}\n" for name, bases in rows.items()
    )
    (folder / "simulated.msa.fa").write_text(text)
    return reference, leaves, kind == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="build/phylogeny")
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    folder, recipe = (
        Path(arguments.folder),
        Path("recipes/dna/chr22_msa.yaml").resolve(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    reference, leaves, is_slow = simulate(Path())
    from r2mae.cli.main import main as r2mae
    from r2mae.metrics.ranking import rank_scores
    from r2mae.modalities.dna.recipe_data import codec_of, find_reference
    from r2mae.modalities.dna.variants.scoring import SiteScorer
    from r2mae.recipe.run import load_run

    first = COLUMNS - TEST
    contig = "simulated"  # an aligned FASTA is one contig, called as the file
    settings = (
        *(
            "data.card=genome_files",
            "data.root=simulated.msa.fa",
            "data.alignment={reference: ref}",
        ),
        f"data.test=['{contig}:{first + 1}-{COLUMNS}']",
        *(
            "model={encoder: conv, width: 64, depth: 2, kernel: 3}",
            "mask.replacement=[1.0, 0.0]",
        ),
        f"schedule={{steps: {arguments.steps}, warmup_steps: 50, decay: cosine}}",
    )
    code = r2mae(
        [
            "pretrain",
            str(recipe),
            "--name",
            "phylogeny",
            *(w for one in settings for w in ("--set", one)),
        ]
    )
    assert code == 0
    loaded = load_run("runs/phylogeny")
    sites = np.arange(first + 200, COLUMNS - 200, 4)
    scorer = SiteScorer(
        loaded.model, codec_of(loaded.recipe), find_reference(loaded.recipe, None), 64
    )
    found = scorer.score(np.zeros(len(sites), dtype=np.int64), sites)
    ours = {name: bases[sites] for name, bases in leaves.items()}
    truth = sum(
        share * likelihood(TREE, ours, rate)
        for share, rate in zip(SHARES, RATES, strict=True)
    )
    ref = reference[sites]
    alt = (ref + np.random.default_rng(1).integers(1, 4, len(sites))) % 4
    row = np.arange(len(sites))
    scores = {
        "oracle": -np.log(truth[row, alt] / truth[row, ref]),
        "run": -(found[row, alt] - found[row, ref]),
        "identity": np.mean([bases == ref for bases in ours.values()], axis=0).astype(
            float
        ),
    }
    ranked = rank_scores(scores, is_slow[sites], draws=200)
    posterior = np.log(truth / truth.sum(axis=1, keepdims=True))
    nats = {"oracle": -posterior[row, ref].mean(), "run": -found[row, ref].mean()}
    table = {name: values["auroc"] for name, values in ranked.items()}
    result = {"simulated": True, "variants": len(sites), "auroc": table, "nats": nats}
    print(json.dumps(result | {"oracle_minus_run": ranked["run"]["auroc_difference"]}))


if __name__ == "__main__":
    main()
