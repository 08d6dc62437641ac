"""`model.init_from` of a run, in every wing: what was loaded is printed, damage refused."""

import pytest

from r2mae.cli.main import main
from tests.conftest import ROOT, TINY, make_cells, make_texts

STEPS = ("schedule={steps: 2}", "checkpoint={every_steps: 2}")
RUNS = {
    "vision/digits_demo.yaml": (*TINY, *STEPS),
    "cell/pbmc3k_mlp.yaml": (
        "data={root: cells.h5ad, label_column: kind, held_out: 0.2}",
        "model={encoder: mlp, width: 8, depth: 1, hidden: 16}",
        "batch={global_samples: 16}",
        "watch={samples: 20, ratios: [0.3]}",
        *STEPS,
    ),
    "language/topics_demo.yaml": (
        "data={root: a.txt, document: line, tokenizer: bytes, length: 32, held_out: 0.2}",
        "model={encoder: modernbert, width: 32, depth: 1, heads: 2, hidden: 32}",
        "batch={global_samples: 8}",
        "watch={samples: 20, ratios: [0.3]}",
        *STEPS,
    ),
    "dna/motifs_demo.yaml": (
        "data={root: a.fa, length: 64, test: ['one:3001-4000'], held_out: 0.1}",
        "model={encoder: conv, width: 8, depth: 1, kernel: 3, dilations: [1]}",
        "batch={global_samples: 8}",
        "watch={samples: 20, ratios: [0.15]}",
        *STEPS,
    ),
}


@pytest.mark.parametrize("recipe", RUNS)
def test_issue_19_1_weights_of_a_run_are_listed_and_damaged_ones_refused(
    scratch, capsys, recipe
):
    make_cells(60, 20).write_h5ad("cells.h5ad")
    (scratch / "a.txt").write_text("\n".join(make_texts(100)))
    (scratch / "a.fa").write_text(f">one\n{'ACGTTGCA' * 500}\n")

    def pretrain(name, *more):
        overrides = [part for one in (*RUNS[recipe], *more) for part in ("--set", one)]
        path = str(ROOT / "recipes" / recipe)
        return main(["pretrain", path, "--name", name, *overrides])

    assert pretrain("run") == 0
    capsys.readouterr()
    assert pretrain("undamaged", "model.init_from=runs/run") == 0
    start = "runs/undamaged: starts from runs/run: loads "
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith(start))
    assert line.endswith("; leaves nothing; new: nothing")
    weights = scratch / "runs/run/checkpoints/step_2/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 0xFF
    weights.write_bytes(content)
    capsys.readouterr()
    for number, source in enumerate(("runs/run", weights.parent)):
        assert pretrain(f"damaged_{number}", f"model.init_from={source}") == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert "sha256" in line
        assert str(weights.relative_to(scratch)) in line
