"""Every recipe in the repository: it says what it is, checks, and runs two steps on tiny input."""

import re

import numpy as np
import pytest
from PIL import Image

from r2mae.data.tokenizer import train_tokenizer
from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.recipe.summary import summarize
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder
from tests.conftest import ROOT, make_cells, make_texts

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
# What makes a recipe of any size run on two cores: fewer, smaller blocks, few and small images, one device.
SMALL = (
    "batch={global_samples: 4}",
    "schedule={steps: 2}",
    "hardware={accelerator: cpu}",
    "log=[csv]",
)
SMALL_VIT = ("model.width=32", "model.depth=1", "model.heads=2")
SMALL_DECODER = (
    "model.decoder_depth=1",
    "model.decoder_width=16",
    "model.decoder_heads=2",
)
SMALL_TASK = {
    "pretrain": (
        "watch={samples: 8, knn: false, linear_probe: false}",
        "model.init_from=null",
    ),
    "finetune": (
        "watch={samples: 8}",
        "repeat={seeds: 1, labels_per_class: [2]}",
        "model.init_from=null",
    ),
}


def small(path):
    """Overrides that make a recipe tiny; backbones shaped by model.arguments stay as they are, and are small."""
    recipe = load_recipe(str(path))
    if recipe.modality == "cell":
        shape = {
            "mlp": ("model.width=16", "model.hidden=16"),
            "transformer": ("model.width=16", "model.depth=1"),
        }
        return (*SMALL, *SMALL_TASK[recipe.task], *shape[recipe.model.encoder])
    if recipe.modality == "dna":
        blocks = (
            ()
            if recipe.model.encoder == "conv"
            else ("model.heads=2", "model.hidden=16")
        )
        return (
            *SMALL,
            *SMALL_TASK[recipe.task],
            "model.width=16",
            "model.depth=2",
            *blocks,
        )
    if recipe.modality == "language":
        return (
            *SMALL,
            *SMALL_TASK[recipe.task],
            "model.width=16",
            "model.depth=2",
            "model.heads=2",
            "model.hidden=16",
        )
    shape = SMALL_VIT if recipe.model.encoder.startswith("vit_") else ()
    decoder = SMALL_DECODER if shape and recipe.task == "pretrain" else ()
    return (*SMALL, *SMALL_TASK[recipe.task], *shape, *decoder)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_says_what_it_is_for_and_how_to_run_it(path):
    purpose, command = path.read_text().splitlines()[:2]
    assert re.fullmatch(r"# (Demo: p|P|F|C)[a-z-]+ .{10,90}\.", purpose)
    assert command.startswith("# Run: r2mae ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_checks(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    report = summarize(load_recipe(str(path)))
    plans = report["plans"].values() if "plans" in report else [report["plan"]]
    assert all(plan["steps"] > 0 for plan in plans)
    assert report["recipe"]["task"] == "finetune" or len(report["levels"]) >= 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_runs_two_steps(path, scratch):
    recipe = load_recipe(str(path))
    if recipe.modality == "cell":
        two_steps(load_recipe(str(path), [*small(path), *tiny_cells(scratch, recipe)]))
        return
    if recipe.modality == "language":
        two_steps(load_recipe(str(path), [*small(path), *tiny_texts(scratch, recipe)]))
        return
    if recipe.modality == "dna":
        two_steps(load_recipe(str(path), [*small(path), *tiny_dna(scratch, recipe)]))
        return
    size = recipe.data.image_size
    for number in range(12):
        file = scratch / "images" / "train" / f"class_{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(
            0, 256, (size, size + 3, 3), dtype=np.uint8
        )
        Image.fromarray(pixels).save(file)
    recipe = load_recipe(str(path), [*small(path), "data.card=image_folder", f"data.root={scratch / 'images'}",
                                     "data.held_out=0.5"])  # fmt: skip
    two_steps(recipe)


def tiny_texts(folder, recipe):
    """Settings that point a recipe to a few sentences, with labels where it wants some."""
    texts = make_texts(60)
    if recipe.task == "pretrain":
        (folder / "train.txt").write_text("\n".join(texts))
        tokenizer = "data.tokenizer={vocab_size: 300}"
        return (
            "data.card=text_files",
            f"data.root={folder / 'train.txt'}",
            tokenizer,
            "data.length=16",
            "data.held_out=0.3",
        )
    rows = [
        "sentence\tlabel",
        *(f"{text}\t{number % 2}" for number, text in enumerate(texts)),
    ]
    for split in ("train", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(rows))
    train_tokenizer(texts, "bpe", 300).save_pretrained(folder / "tokenizer")
    where = (
        "data.card=text_files",
        f"data.root={folder}",
        "data.label_column=label",
        "data.held_out=0.3",
    )
    return (*where, f"data.tokenizer={folder / 'tokenizer'}")


def tiny_dna(folder, recipe):
    """Settings that point a recipe to a short genome, to two aligned ones, or to a few labelled sequences."""
    letters = "".join(np.random.default_rng(0).choice(list("ACGTacgt"), 1200))
    if recipe.task == "finetune":
        rows = [
            "sequence,label",
            *(f"{letters[n : n + 40 + n % 3]},{n % 2}" for n in range(60)),
        ]
        for split, part in (
            ("train", rows),
            ("test", [rows[0], *(row[1:] for row in rows[1:])]),
        ):
            (folder / f"{split}.csv").write_text("\n".join(part) + "\n")
        return (
            "data.card=sequence_files",
            f"data.root={folder}",
            "data.label_column=label",
            "data.held_out=0.3",
        )
    (folder / "genome.fa").write_text(f">one\n{letters}\n")
    where = (
        *(
            "data.card=genome_files",
            "data.length=32",
            "data.stride=null",
            "data.held_out=0.3",
        ),
        *("data.exclude=[]", "data.name_by_file=false", "data.test=[one:1001-1200]"),
    )
    if recipe.data.alignment is None:
        return (*where, f"data.root={folder / 'genome.fa'}")
    (folder / "two.maf").write_text(
        "##maf version=1\na score=1\n"
        + "".join(f"s {name}.one 0 1200 + 1200 {letters}\n" for name in ("me", "you"))
    )
    (folder / "track.wig").write_text(
        "fixedStep chrom=one start=1 step=1\n" + "0.5\n" * 1200
    )
    wanted = {
        "phylop": recipe.data.tracks.phylop,
        "phastcons": recipe.data.tracks.phastcons,
    }
    tracks = ", ".join(
        f"{name}: {folder / 'track.wig'}" for name, given in wanted.items() if given
    )
    return (
        *where,
        f"data.root={folder / 'two.maf'}",
        "data.alignment={reference: me}",
        f"data.tracks={{{tracks}}}",
    )


def tiny_cells(folder, recipe):
    """Settings that point a recipe to forty cells of thirty genes."""
    cells = make_cells(40, 30, scaled=recipe.data.values == "scaled")
    cells.write_h5ad(folder / "cells.h5ad")
    settings = (
        "test={share: 0.3}",
        "held_out=0.5",
        "label_column=kind",
        "min_class_cells=1",
        "min_genes=1",
    )
    genes = () if recipe.model.init_from else ("data.genes={}",)
    return (
        "data.card=cell_files",
        f"data.root={folder / 'cells.h5ad'}",
        *genes,
        *(f"data.{one}" for one in settings),
    )


def two_steps(recipe):
    folder = RunFolder("runs/run")
    training = build_training(recipe, folder)
    folder.start(recipe_document(recipe))
    metrics = training.run()
    assert metrics["validation/loss"] > 0
    assert folder.pointer("last").name == "step_2"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_refuses_a_misspelt_section(path):
    with pytest.raises(InputError, match="hardwear"):
        load_recipe(str(path), ["hardwear.devices=1"])
