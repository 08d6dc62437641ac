"""DNA from the command line: pretrain, evaluate, score-variants, embed, finetune, export; bad input is one line."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.files import open_dna
from r2mae.modalities.dna.tokens import nucleotide_tokenizer
from r2mae.page.slider import RATIOS
from r2mae.recipe.run import load_run
from tests.conftest import ROOT
from tests.modalities.cell.test_cli import refused, said

RECIPE = ROOT / "recipes" / "dna" / "motifs_demo.yaml"
TUNE = ROOT / "recipes" / "dna" / "gue_finetune.yaml"
SHAPES = {
    "conv": "width: 16, depth: 2, kernel: 3, dilations: [1, 2]",
    "modernbert": "width: 64, depth: 3, heads: 4, hidden: 96",
}
WIDTHS = {"conv": 16, "modernbert": 64}
STEPS = {"conv": 60, "modernbert": 150}
LONGER = {
    "conv": (),
    "modernbert": (
        "schedule={steps: 150, warmup_steps: 30}",
        "optimizer={lr: 2.0e-3, clip_norm: 1.0}",
        "batch={global_samples: 32}",
    ),
}
SMALL = (
    "data={root: genome.fa, length: 64, test: ['one:3001-4000'], held_out: 0.1}",
    "batch={global_samples: 8}",
    "optimizer={lr: 1.0e-2, weight_decay: 0.01}",
    "schedule={steps: 60}",
    "watch={samples: 20, ratios: [0.15]}",
    "checkpoint={every_steps: 30}",
)
SMALL_TUNE = (
    "data={root: '.', card: sequence_files, label_column: kind, length: 64, held_out: 0.2}",
    "batch={global_samples: 8}",
    "optimizer={lr: 5.0e-3}",
    "schedule={steps: 60}",
    "repeat={seeds: 2}",
    "tune={}",
)


def settings(chosen, *more):
    return [word for setting in (*chosen, *more) for word in ("--set", setting)]


def model(kind, init_from="null"):
    return f"model={{encoder: {kind}, init_from: {init_from}, {SHAPES[kind]}}}"


def write_genome(folder):
    """A genome that is easy: ACGT over and over, a tenth of its bases random."""
    draw = np.random.default_rng(0)
    letters = np.array(list("ACGT"))[np.arange(4000) % 4]
    letters = np.where(
        draw.random(4000) < 0.1, draw.choice(list("ACGT"), 4000), letters
    )
    text = "".join(letters)
    (folder / "genome.fa").write_text(f">one\n{text}\n")
    return text


def write_variants(folder, text):
    """Pathogenic ones spoil a base of the pattern, benign ones mend one."""
    draw, rows = np.random.default_rng(1), []
    for place in draw.permutation(np.arange(3000, 4000))[:400]:
        ref, usual = text[place], "ACGT"[place % 4]
        alt = (
            usual
            if ref != usual
            else draw.choice([letter for letter in "ACGT" if letter != ref])
        )
        rows.append((place + 1, ref, alt, "benign" if ref != usual else "pathogenic"))
    rows += [
        (10, text[9], "<DEL>", "benign"),
        (20, text[19:21], text[19], "pathogenic"),
    ]
    rows = sorted(rows)
    body = "".join(f"{at},{ref},{alt},{kind}\n" for at, ref, alt, kind in rows)
    (folder / "variants.csv").write_text("pos,ref,alt,kind\n" + body)
    lines = "".join(
        f"one\t{at}\t.\t{ref}\t{alt}\t.\t.\tKIND={kind}\n"
        for at, ref, alt, kind in rows
    )
    (folder / "variants.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + lines
    )


def write_sequences(folder):
    draw = np.random.default_rng(2)
    for split, number in (("train", 120), ("test", 60)):
        rows = []
        for n in range(number):
            body = draw.choice(list("ACGT"), 60)
            if n % 2:
                body[20:28] = list("TATATATA")
            rows.append(f"{''.join(body)},{('other', 'box')[n % 2]}")
        if split == "test":
            rows.append(
                (folder / "train.csv").read_text().splitlines()[1]
            )  # one that training holds
        (folder / f"{split}.csv").write_text("sequence,kind\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module", params=SHAPES)
def trained(request, tmp_path_factory):
    """A folder with a genome, variants, labelled sequences and a run."""
    folder = tmp_path_factory.mktemp("dna")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        write_variants(folder, write_genome(folder))
        write_sequences(folder)
        kind = request.param
        assert (
            main(
                [
                    "pretrain",
                    str(RECIPE),
                    "--name",
                    "run",
                    *settings(SMALL, model(kind), *LONGER[kind]),
                ]
            )
            == 0
        )
    return folder, kind


# Files in and out, and refusals, do not depend on the encoder.
ONE_ENCODER = pytest.mark.parametrize("trained", ["conv"], indirect=True)


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained[0] / "cache"))
    return trained[1]


def test_masked_beats_counts_of_bases(here, capsys):
    found = json.loads(
        said(
            capsys,
            "evaluate",
            "runs/run",
            "--task",
            "masked",
            "--ratios",
            "0.1",
            "--json",
        )
    )
    (score,) = found["scores"]
    assert (
        score["bases"] == 15 * 6
    )  # windows of 64 in the 1,000 bases of the test interval
    assert score["loss"] < score["order_0_loss"] - 0.3
    assert "contexts of 4 + 4" in said(
        capsys, "evaluate", "runs/run", "--task", "masked", "--ratios", "0.1"
    )


@ONE_ENCODER
def test_scores_to_a_table_and_to_a_vcf(here, capsys):
    found = json.loads(
        said(
            capsys,
            "score-variants",
            "runs/run",
            "variants.csv",
            "-o",
            "scores.tsv",
            "--json",
        )
    )
    assert found["variants"] == 400
    assert found["skipped"] == {"symbolic": 1, "indel": 1}
    table = pd.read_csv("scores.tsv", sep="\t")
    assert list(table.columns) == ["contig", "position", "ref", "alt", "R2MAE", "kind"]
    assert (
        table[table.kind == "benign"]["R2MAE"].mean()
        > table[table.kind == "pathogenic"]["R2MAE"].mean() + 1
    )
    said(capsys, "score-variants", "runs/run", "variants.vcf", "-o", "scores.vcf")
    lines = Path("scores.vcf").read_text().splitlines()
    assert lines[1].startswith("##INFO=<ID=R2MAE,Number=A,Type=Float")
    records = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(records) == 402
    scored = [
        float(record[7].rpartition("R2MAE=")[2])
        for record in records
        if "R2MAE" in record[7]
    ]
    assert np.allclose(scored, table["R2MAE"], rtol=1e-4, atol=1e-5)
    said(capsys, "score-variants", "runs/run", "variants.vcf", "-o", "scores.vcf.gz")
    with open_dna(
        Path("scores.vcf.gz")
    ) as file:  # refuses bgzip without its last block
        assert file.read().decode().splitlines() == lines
    assert Path("scores.vcf.gz").read_bytes()[12:14] == b"BC"
    said(capsys, "score-variants", "runs/run", "variants.csv", "-o", "scores.tsv.gz")
    assert (
        gzip.decompress(Path("scores.tsv.gz").read_bytes())
        == Path("scores.tsv").read_bytes()
    )
    assert not [
        name for name in os.listdir() if name.startswith((".scoring", ".writing"))
    ]


@ONE_ENCODER
def test_every_variant_of_regions_is_scored(here, capsys):
    Path("r.bed").write_text("chrone\t3000\t3004\n")
    command = ("score-variants", "runs/run", "--all", "r.bed", "--all", "one:3004-3010")
    said(capsys, *command, "-o", "all.tsv")
    table = pd.read_csv("all.tsv", sep="\t")
    letters = Path("genome.fa").read_text().split()[1]
    assert table.position.tolist() == np.repeat(np.arange(3001, 3011), 3).tolist()
    assert table.ref.tolist() == np.repeat(list(letters[3000:3010]), 3).tolist()
    for _, part in table.groupby("position"):
        assert sorted([part.ref.iloc[0], *part.alt]) == list("ACGT")
    said(capsys, "score-variants", "runs/run", "variants.csv", "-o", "scores.tsv")
    keys = ["position", "ref", "alt"]
    both = table.merge(pd.read_csv("scores.tsv", sep="\t"), on=keys)
    assert len(both) > 0
    assert np.allclose(both.R2MAE_x, both.R2MAE_y, atol=1e-9)
    inside = ("--regions", "r.bed", "-o", "inside.tsv")
    said(capsys, "score-variants", "runs/run", "variants.csv", *inside)
    positions = pd.read_csv("inside.tsv", sep="\t").position
    assert positions.between(3001, 3004).all()
    assert len(positions) == (both.position <= 3004).sum()


@ONE_ENCODER
def test_scores_of_bases_are_written_as_big_wig(here, capsys):
    library = pytest.importorskip("pyBigWig")
    command = ("score-variants", "runs/run", "--all", "one:3001-3010")
    said(capsys, *command, "-o", "all.tsv")
    said(capsys, *command, "-o", "all.bw")
    means = pd.read_csv("all.tsv", sep="\t").groupby("position").R2MAE.mean()
    file = library.open("all.bw")
    assert file.chroms() == {"one": 4000}
    assert np.allclose(file.values("one", 3000, 3010), means, atol=1e-5)


def test_indels_are_scored_on_request(here, capsys):
    result = json.loads(
        said(
            capsys,
            *("score-variants", "runs/run", "variants.vcf", "-o", "indels.vcf"),
            *("--indels", "--json"),
        )
    )
    assert (result["variants"], result["indels"]) == (401, 1)
    assert result["skipped"] == {"symbolic": 1}
    lines = Path("indels.vcf").read_text().splitlines()
    (record,) = [line for line in lines if line.startswith("one\t20\t")]
    score = float(record.rpartition("R2MAE=")[2])
    assert np.isfinite(score)
    assert score != 0
    said(
        capsys,
        *("score-variants", "runs/run", "variants.csv", "-o", "indels.csv"),
        "--indels",
    )
    table = pd.read_csv("indels.csv")
    assert table.position.is_monotonic_increasing
    (row,) = table[table.ref.str.len() == 2].itertuples()
    assert (row.position, row.kind) == (20, "pathogenic")
    assert pytest.approx(score, rel=1e-4) == row.R2MAE


@ONE_ENCODER
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.tsv"], "Either VARIANTS or --all must be given, got neither"),
        (["variants.csv", "--all", "one", "-o", "x.tsv"], "must be given, got both"),
        (
            ["--all", "one", "-o", "x.vcf"],
            "must be a table or .bw with --all, got .vcf",
        ),
        (["--all", "two", "-o", "x.tsv"], "must have a contig 'two'"),
    ],
)
def test_variants_or_regions_are_named(here, capsys, arguments, message):
    assert message in refused(capsys, "score-variants", "runs/run", *arguments)


@ONE_ENCODER
def test_a_vcf_is_scored_record_by_record_and_anew(here, capsys):
    """A record that is commented out, a blank line, scores of an earlier time, bytes of another encoding."""
    lines = Path("variants.vcf").read_text().splitlines()
    lines[5] = "#" + lines[5]
    lines.insert(8, "  ")
    lines.insert(1, '##INFO=<ID=R2MAE,Number=A,Type=Float,Description="old">')
    old = lines[10].split("\t")
    lines[10] = "\t".join([*old[:7], f"{old[7]};R2MAE=99"])
    Path("odd.vcf").write_bytes(
        "\n".join([*lines[:1], "##who=caf\xe9", *lines[1:], ""]).encode("latin-1")
    )
    said(capsys, "score-variants", "runs/run", "variants.vcf", "-o", "plain.vcf")
    said(capsys, "score-variants", "runs/run", "odd.vcf", "-o", "scored.vcf")
    found = Path("scored.vcf").read_bytes().decode("latin-1").splitlines()
    assert "##who=caf\xe9" in found
    assert sum(line.startswith("##INFO=<ID=R2MAE") for line in found) == 1
    known = {
        tuple(line.split("\t")[:5]): line
        for line in Path("plain.vcf").read_text().splitlines()
        if line[0] != "#"
    }
    records = [line for line in found if line.strip() and line[0] != "#"]
    assert len(records) == len(known) - 1
    assert all(known[tuple(line.split("\t")[:5])] == line for line in records)


@ONE_ENCODER
def test_scores_of_something_else_are_refused(here, capsys):
    said(capsys, "score-variants", "runs/run", "variants.csv", "-o", "mine.csv")
    table = pd.read_csv("mine.csv")
    classes = (
        "--label",
        "kind",
        "--positive",
        "pathogenic",
        "--negative",
        "benign",
        "--draws-of-variants",
        10,
    )
    words = (
        "evaluate",
        "runs/run",
        "--task",
        "variant_effect",
        *classes,
        "--variants",
        "theirs.csv",
    )
    table.assign(R2MAE=table["R2MAE"] - 0.1).to_csv("theirs.csv", index=False)
    assert "must be this run's scores" in refused(capsys, *words)
    table.assign(R2MAE="x").to_csv("theirs.csv", index=False)
    assert "must hold numbers" in refused(capsys, *words)
    os.mkdir("folder.tsv")
    assert "got the folder" in refused(
        capsys, "score-variants", "runs/run", "variants.csv", "-o", "folder.tsv"
    )
    os.rmdir("folder.tsv")


def test_an_alignment_keeps_its_species_in_order(here, capsys):
    draw = np.random.default_rng(5)
    text = Path("genome.fa").read_text().split()[1][:2000]

    def write(name, *species):
        rows = "".join(
            f"s {each}.one 0 2000 + 2000 {text if each == 'man' else other}\n"
            for each in species
        )
        Path(name).write_text(f"##maf version=1\na score=1\n{rows}")

    other = "".join(draw.choice(list("ACGT"), 2000))
    write("one.maf", "man", "ape", "dog")
    write("two.maf", "man", "dog", "ape")
    data = "data={root: one.maf, alignment: {reference: man}, length: 64}"
    start = (
        *settings(SMALL, model(here), "schedule.steps=1", "schedule.warmup_steps=0"),
        "--set",
        data,
    )
    said(capsys, "pretrain", RECIPE, "--name", "aligned", "--fresh", *start)
    Path("v.csv").write_text(
        f"pos,ref,alt\n100,{text[99]},{'A' if text[99] != 'A' else 'C'}\n"
    )
    words = ("score-variants", "runs/aligned", "v.csv", "-o", "v.tsv", "--reference")
    assert "'ape' as number 2, got 'dog'" in refused(capsys, *words, "two.maf")
    said(capsys, *words, "one.maf")
    if here == "conv":
        start = settings(SMALL, model(here, "runs/aligned"), "schedule.steps=1")
        line = refused(capsys, "pretrain", RECIPE, "--name", "bad", *start)
        assert "must be a run on a genome" in line
        other = model(here, "runs/run").replace("dilations: [1", "dilations: [5")
        assert other != model(here, "runs/run")
        assert "model.dilations must be" in refused(
            capsys, "pretrain", RECIPE, "--name", "bad", *settings(SMALL, other)
        )


def test_variant_effect_of_scored_and_of_bare_files(here, capsys):
    said(capsys, "score-variants", "runs/run", "variants.csv", "-o", "scored.tsv")
    classes = (
        "--label",
        "kind",
        "--positive",
        "pathogenic",
        "--negative",
        "benign",
        "--draws-of-variants",
        100,
    )
    words = ("evaluate", "runs/run", "--task", "variant_effect", *classes)
    Path("phylop.bedGraph").write_text("one\t0\t3500\t0.5\none\t3500\t3900\t1.5\n")
    found = [
        json.loads(
            said(
                capsys,
                *words,
                "--variants",
                name,
                "--phylop",
                "phylop.bedGraph",
                "--json",
            )
        )
        for name in ("scored.tsv", "variants.csv")
    ]
    assert found[0]["scores"]["run"]["auroc"]["value"] == pytest.approx(
        found[1]["scores"]["run"]["auroc"]["value"]
    )
    assert found[0]["scores"]["run"]["auroc"]["low"] > 0.8
    assert set(found[0]["scores"]) == {"run", "transversion", "phyloP"}
    assert found[0]["variants"]["positive"] + found[0]["variants"]["negative"] == 400
    assert found[0]["phylop_missing"] > 0
    assert "AUROC" in said(capsys, *words, "--variants", "scored.tsv")
    assert found[0]["labels_without_variants"] == {}


@ONE_ENCODER
def test_label_values_may_have_blanks_and_absent_ones_are_named(here, capsys):
    table = pd.read_csv("variants.csv")
    table["kind"] = np.resize(["Benign", "Likely benign", "Pathogenic"], len(table))
    table.to_csv("kinds.csv", index=False)
    words = ("evaluate", "runs/run", "--task", "variant_effect", "--label", "kind")
    words += ("--variants", "kinds.csv", "--draws-of-variants", 10)
    words += ("--positive", "Pathogenic", "--negative", "Benign, Likely benign")
    result = json.loads(said(capsys, *words, "--json"))
    assert result["variants"]["other"] == 0
    shown = said(capsys, *words[:-1], "Benign,Likely_benign")
    assert (
        "no variant has the label 'Likely_benign'. Did you mean Likely benign" in shown
    )


def test_embed_windows_of_a_genome(here, capsys):
    said(capsys, "embed", "runs/run", "genome.fa", "-o", "windows.npy")
    assert np.load("windows.npy").shape == (62, WIDTHS[here])
    letters = Path("genome.fa").read_text().split()[1][:200]
    Path("odd.fa").write_text(f">a\n{letters}{'N' * 100}\n>b\nACGT\n")
    assert main(["embed", "runs/run", "odd.fa", "-o", "odd.npy"]) == 0
    left = capsys.readouterr().err
    assert (
        "left out: 1 sequences shorter than a window, 1 windows with too few known or "
        "aligned bases, 112 of 304 bases (37%)" in left
    )
    assert Path("windows.names.csv").read_text().splitlines()[1] == "one:1-64,"
    said(capsys, "embed", "runs/run", "test", "-o", "windows.parquet")
    table = pd.read_parquet("windows.parquet")
    assert len(table) == 15
    assert len(table.features[0]) == WIDTHS[here]
    assert table.name[0] == "one:3001-3064"


def test_a_pretraining_run_embeds_short_sequences(here, capsys):
    letters = Path("genome.fa").read_text().split()[1]
    short = [letters[:40], letters[100:160]]
    records = "".join(f">s{n}\n{text}\n" for n, text in enumerate(short))
    Path("short.fa").write_text(f"{records}>none\n")
    assert main(["embed", "runs/run", "short.fa", "-o", "short.npy"]) == 0
    assert "1 records without bases" in capsys.readouterr().err
    features = np.load("short.npy")
    assert np.allclose(features, load_run("runs/run").embed(short), atol=1e-5)
    Path("lines.txt").write_text("\n".join(short))
    said(capsys, "embed", "runs/run", "lines.txt", "-o", "lines.npy")
    assert np.allclose(np.load("lines.npy"), features, atol=1e-6)
    # With a longer sequence, windows are read, unless --records asks for sequences.
    Path("mixed.fa").write_text(f"{records}>long\n{letters[:64]}\n")
    said(capsys, "embed", "runs/run", "mixed.fa", "-o", "mixed.npy")
    assert len(np.load("mixed.npy")) == 1
    said(capsys, "embed", "runs/run", "mixed.fa", "--records", "-o", "mixed.npy")
    assert np.allclose(np.load("mixed.npy")[:2], features, atol=1e-5)


@ONE_ENCODER
def test_embed_regions_of_a_bed_file_on_their_strand(here, capsys):
    letters = Path("genome.fa").read_text().split()[1]
    Path("r.bed").write_text("1\t10\t50\tx\t0\t-\nchrone\t0\t100\n")
    arguments = ("embed", "runs/run", "genome.fa", "-o", "regions.npy")
    regions = ("--regions", "r.bed", "--alias", "1=one", "--regions", "one:5-44")
    assert main([*arguments, *regions]) == 0
    assert "both ends of 1 sequences longer than 64" in capsys.readouterr().err
    names = Path("regions.names.csv").read_text().split()[1:]
    assert names == ["one:11-50,", "one:1-100,", "one:5-44,"]
    reverse = letters[10:50][::-1].translate(str.maketrans("ACGT", "TGCA"))
    sequences = [reverse, letters[18:82], letters[4:44]]
    expected = load_run("runs/run").embed(sequences)
    assert np.allclose(np.load("regions.npy"), expected, atol=1e-5)


@ONE_ENCODER
def test_short_sequences_of_another_column_are_embedded(here, capsys):
    pd.DataFrame({"promoter": ["ACGTACGT", "GGA"]}).to_csv("short.csv", index=False)
    arguments = ("embed", "runs/run", "short.csv", "-o", "short.npy")
    said(capsys, *arguments, "--column", "promoter")
    expected = load_run("runs/run").embed(["ACGTACGT", "GGA"])
    assert np.allclose(np.load("short.npy"), expected, atol=1e-5)


@ONE_ENCODER
def test_a_region_without_bases_is_not_embedded(here, capsys):
    Path("empty.bed").write_text("one\t10\t50\none\t60\t60\n")
    line = ("embed", "runs/run", "genome.fa", "--regions", "empty.bed", "-o", "x.npy")
    expected = "must hold bases, got none between bases 60 and 61 of one"
    assert expected in refused(capsys, *line)


@ONE_ENCODER
@pytest.mark.parametrize("stride", [64, 32])
def test_embed_what_is_held_out_where_no_test_split_is_named(here, capsys, stride):
    data = f"data={{root: genome.fa, length: 64, stride: {stride}, held_out: 0.1}}"
    start = (
        *settings(SMALL, model(here), "schedule.steps=1", "schedule.warmup_steps=0"),
        "--set",
        data,
    )
    said(capsys, "pretrain", RECIPE, "--name", "plain", "--fresh", *start)
    said(capsys, "embed", "runs/plain", "test", "-o", "held.parquet")
    table = pd.read_parquet("held.parquet")
    assert 5 <= len(table) < 20
    assert len({*table.name}) == len(table)


def test_finetune_and_probe_from_the_run(here, capsys):
    start = model(here, "runs/run")
    found = json.loads(
        said(
            capsys,
            "finetune",
            TUNE,
            "--name",
            "tuned",
            *settings(SMALL_TUNE, start),
            "--json",
        )
    )
    (row,) = found["scores"]
    assert found["in_test_too"] == 1
    if here == "conv":  # blocks want more than 120 sequences
        assert row["accuracy"] > 0.7
        assert 0 < row["matthews_half_width"] < 1  # of 2 seeds
    single = "runs/tuned/labels_all/seed_0"
    assert load_run(single).recipe.model.encoder == here
    probe = said(
        capsys, "evaluate", single, "--task", "linear_probe", "--baselines", "--json"
    )
    assert "counts of 5-mers" in json.loads(probe)["scores"]
    said(capsys, "embed", single, "test.csv", "-o", "sequences.npy")
    assert np.load("sequences.npy").shape == (61, WIDTHS[here])
    said(capsys, "predict", single, "test.csv", "-o", "classes.csv")
    predicted = np.load(f"{single}/test_predictions.npy")[0]
    for subcommand, output in (
        ("predict", "test.csv"),
        ("predict", "train.tsv"),
        ("embed", "test.parquet"),
    ):
        line = refused(capsys, subcommand, single, "test", "-o", output)
        assert f"--output must not be a split of the data in ., got '{output}'" in line
    names = np.array(["box", "other"])
    assert (
        pd.read_csv("classes.csv").predicted_class.tolist() == names[predicted].tolist()
    )
    said(
        capsys,
        "finetune",
        TUNE,
        "--name",
        "both",
        *settings(SMALL_TUNE, start, "data.both_strands=true"),
    )
    said(
        capsys,
        "predict",
        "runs/both/labels_all/seed_0",
        "test.csv",
        "-o",
        "forward.csv",
    )
    turned = pd.read_csv("test.csv")
    turned["sequence"] = [
        text[::-1].translate(str.maketrans("ACGT", "TGCA"))
        for text in turned["sequence"]
    ]
    turned.to_csv("turned.csv", index=False)
    said(
        capsys,
        "predict",
        "runs/both/labels_all/seed_0",
        "turned.csv",
        "-o",
        "reverse.csv",
    )
    forward, reverse = (
        pd.read_csv(name)["p(box)"] for name in ("forward.csv", "reverse.csv")
    )
    np.testing.assert_allclose(forward, reverse, atol=1e-5)
    assert "1 training samples were left out" in said(
        capsys, "finetune", TUNE, "--name", "tuned", *settings(SMALL_TUNE, start)
    )


@ONE_ENCODER
def test_numbers_are_learnt_of_sequences(here, capsys, tmp_path):
    draw = np.random.default_rng(0)
    rows = ["".join(draw.choice(list("ACGT"), 48, p=[0.5 - share, share, share, 0.5 - share])) for share in
            draw.uniform(0.05, 0.45, 400)]  # fmt: skip
    for name, part in (("train", rows[:300]), ("test", rows[300:])):
        table = pd.DataFrame(
            {
                "sequence": part,
                "content": [sum(map(text.count, "GC")) / 48 for text in part],
            }
        )
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    data = (
        f"data={{root: {tmp_path}, length: 48, label_column: content, held_out: 0.1}}"
    )
    more = (
        data,
        "tune={target: regression}",
        "schedule={steps: 150, warmup_steps: 10}",
    )
    words = (
        "finetune",
        TUNE,
        "--name",
        "numbers",
        "--fresh",
        *settings(SMALL_TUNE, model(here, "runs/run"), *more),
    )
    (row,) = json.loads(said(capsys, *words, "--json"))["scores"]
    assert row["pearson"] > 0.9
    single = "runs/numbers/labels_all/seed_0"
    said(capsys, "predict", single, tmp_path / "test.csv", "-o", "content.csv")
    predicted, _ = np.load(f"{single}/test_predictions.npy")
    np.testing.assert_allclose(
        pd.read_csv("content.csv")["predicted"], predicted, rtol=1e-5
    )


@ONE_ENCODER
def test_a_run_goes_on_with_the_same_command(here, capsys):
    words = (
        "pretrain",
        RECIPE,
        "--name",
        "run",
        *settings(SMALL, model(here), *LONGER[here]),
    )
    assert json.loads(said(capsys, *words, "--json"))["step"] == STEPS[here]
    assert "data.length" in refused(capsys, *words, "--set", "data.length=32")


REFUSED = [
    (
        ("score-variants", "runs/run", "variants.csv", "-o", "x.txt"),
        "--output must be a .tsv, .csv or .vcf file, each",
    ),
    (
        ("score-variants", "runs/run", "variants.csv", "-o", "x.vcf"),
        "for VARIANTS other than a VCF",
    ),
    (
        ("score-variants", "runs/run", "variants.csv", "-o", "variants.csv"),
        "must not be VARIANTS itself",
    ),
    (
        ("score-variants", "runs/run", "nope.csv", "-o", "x.tsv"),
        "VARIANTS must be a file, got 'nope.csv'",
    ),
    (
        (
            "score-variants",
            "runs/run",
            "variants.csv",
            "-o",
            "x.tsv",
            "--reference",
            "nope.fa",
        ),
        "--reference: nope.fa must be a file, or a glob",
    ),
    (
        ("score-variants", "runs/run", "variants.csv", "-o", "x.tsv", "--alias", "a"),
        "--alias must be LEFT=RIGHT",
    ),
    (
        ("score-variants", "runs/run", "variants.csv", "-o", "x.tsv", "--first", "0"),
        "REF must be the base of",
    ),
    (("evaluate", "runs/run", "--task", "variant_effect"), "--variants must be set"),
    (
        (
            "evaluate",
            "runs/run",
            "--task",
            "variant_effect",
            "--variants",
            "variants.csv",
        ),
        "--label must be set",
    ),
    (
        (
            "evaluate",
            "runs/run",
            "--task",
            "variant_effect",
            "--variants",
            "variants.csv",
            "--label",
            "kind",
        ),
        "--positive must be values of kind, got 1. Present: benign, pathogenic.",
    ),
    (
        (
            "evaluate",
            "runs/run",
            "--task",
            "variant_effect",
            "--variants",
            "variants.csv",
            "--label",
            "kin",
        ),
        "must have a column 'kin'",
    ),
    (("evaluate", "runs/run", "--task", "knn"), "data must have labels for this task"),
    (
        ("embed", "runs/run", "nope.fa", "-o", "x.npy"),
        "nope.fa must be a file, or a glob",
    ),
    (
        ("embed", "runs/run", "genome.fa", "-o", "x.txt"),
        "--output must be a .npy or .parquet file",
    ),
    (("export", "runs/run", "out", "--to", "timm"), "must be "),
    (("fill", "runs/run", "ACGT"), "RUN must be of a modality that has fill"),
    (("reconstruct", "runs/run"), "must be"),
]


@ONE_ENCODER
@pytest.mark.parametrize(
    ("words", "line"), REFUSED, ids=[" ".join(words)[:60] for words, _ in REFUSED]
)
def test_bad_input_is_one_line(here, capsys, words, line):
    assert line in refused(capsys, *words)
    assert not [name for name in os.listdir() if name.startswith("x.")]


def test_a_masked_language_model_of_transformers_is_continued_and_scored(here, capsys):
    """Its own tokenizer, in lower case and another order, is taken along."""
    if here == "conv":
        assert "must be a run for encoder conv" in refused(
            capsys,
            "pretrain",
            RECIPE,
            "--name",
            "other",
            *settings(SMALL, model("conv", "runs")),
        )
        return
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, PreTrainedTokenizerFast

    words = ["[MASK]", "t", "g", "c", "a", "[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    inner = Tokenizer(
        models.WordLevel(
            {word: number for number, word in enumerate(words)}, unk_token="[UNK]"
        )
    )
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    names = {
        name: f"[{name.split('_')[0].upper()}]"
        for name in ("mask_token", "pad_token", "cls_token", "sep_token")
    }
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", **names
    ).save_pretrained("released")
    config = BertConfig(
        vocab_size=9,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        pad_token_id=5,
    )
    AutoModelForMaskedLM.from_config(config).save_pretrained("released")
    start = "model={encoder: bert, init_from: released}"
    said(capsys, "pretrain", RECIPE, "--name", "continued", *settings(SMALL, start))
    loaded = load_run("runs/continued")
    assert loaded.model.masking.bases == (4, 3, 2, 1)
    said(
        capsys,
        "score-variants",
        "runs/continued",
        "variants.csv",
        "-o",
        "continued.tsv",
    )
    assert nucleotide_tokenizer().get_vocab() != loaded.manifest["tokenizer"]
    wrong = settings(SMALL, "model={encoder: bert, init_from: released, kmer: 4}")
    assert "must have a token for each of" in refused(
        capsys, "pretrain", RECIPE, "--name", "no", *wrong
    )


def test_export_to_transformers(here, capsys):
    """A folder that Auto classes read, its tokenizer included."""
    said(capsys, "export", "runs/run", "out", "--to", "transformers")
    if here == "conv":
        assert "trust_remote_code=True" in Path("out/README.md").read_text()
        return
    tokenizer, model = (
        AutoTokenizer.from_pretrained("out"),
        AutoModelForMaskedLM.from_pretrained("out").eval(),
    )
    text = "ACGTACG[MASK]ACGTACGT"
    encoded = tokenizer(text, return_tensors="pt")
    place = encoded["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    named = model(**encoded).logits[0, place].argmax()
    assert tokenizer.convert_ids_to_tokens(int(named)) == "T"


def test_sequences_in_memory_are_embedded_as_windows_are(here, capsys):
    run, text = load_run("runs/run"), Path("genome.fa").read_text().split()[1]
    said(capsys, "embed", "runs/run", "genome.fa", "-o", "memory.npy")
    windows = [text[start : start + 64] for start in range(0, 4000 - 63, 64)]
    assert np.allclose(run.embed(windows), np.load("memory.npy"), atol=1e-6)
    short = run.embed([windows[0], windows[0][:40].lower()])
    assert np.allclose(short[0], run.embed(windows[:1])[0], atol=1e-5)
    with pytest.warns(UserWarning, match="both ends of 1 sequences longer than 64"):
        run.embed([text[:100]])
    for objects, got in (
        ("ACGT", "str"),
        (["ACGT", "ACXT"], "'X'"),
        ([], "empty"),
        ({"a": "ACGT"}, "dict"),
    ):
        with pytest.raises(InputError, match=f"must .*got .*{got}"):
            run.embed(objects)


def test_tokens_of_windows_are_an_array(here, capsys):
    said(capsys, "embed", "runs/run", "genome.fa", "-o", "windows.npy")
    said(capsys, "embed", "runs/run", "genome.fa", "-o", "tokens.npy", "--tokens")
    tokens, features = np.load("tokens.npy"), np.load("windows.npy")
    assert len(tokens) == 62
    np.testing.assert_allclose(tokens.mean(axis=1), features, atol=1e-5)


@ONE_ENCODER
def test_a_report_shows_logos_at_each_ratio(here, capsys):
    del here
    said(capsys, "report", "runs/run", "-o", "page.html")
    page = Path("page.html").read_text()
    assert page.count('aria-label="expected bases"') == 3 * len(RATIOS)
    assert "No pictures" not in page


@ONE_ENCODER
@pytest.mark.parametrize("path", ["nope.fa", "."])
def test_a_reference_is_looked_at_before_other_tasks_are_scored(here, capsys, path):
    words = ("--task", "masked,variant_effect", "--variants", "variants.csv")
    words += ("--label", "kind", "--reference", path)
    assert main(["evaluate", "runs/run", *words]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("r2mae: --reference: ")
    assert printed.err.count("\n") == 1
