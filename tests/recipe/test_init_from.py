"""`model.init_from` of a damaged run: refused in every wing."""

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
def test_damaged_weights_are_refused_by_sha256(scratch, capsys, recipe):
    make_cells(60, 20).write_h5ad("cells.h5ad")
    (scratch / "a.txt").write_text("\n".join(make_texts(100)))
    (scratch / "a.fa").write_text(f">one\n{'ACGTTGCA' * 500}\n")

    def pretrain(name, *more):
        overrides = [part for one in (*RUNS[recipe], *more) for part in ("--set", one)]
        path = str(ROOT / "recipes" / recipe)
        return main(["pretrain", path, "--name", name, *overrides])

    assert pretrain("run") == 0
    assert pretrain("undamaged", "model.init_from=runs/run") == 0
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
