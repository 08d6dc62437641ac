"""Genomes and alignments from the command line: built, looked at, refused in one line."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, SHARED, make_cells
from tests.modalities.cell.test_cli import refused, said

pytestmark = pytest.mark.usefixtures("scratch")
MAF = "##maf version=1\na\ns hg.c1 1 4 + 6 ACgT\ns mm.x 0 3 + 9 A-TT\n"


def test_build_dna_and_inspect(scratch, capsys):
    (scratch / "x.fa").write_text(">c1\nACgtNN\n>c2\nGG\n")
    (scratch / "y.fa").write_text(">c1\nA\n")
    built = said(capsys, "data", "build", "dna", "out/genome", "x.fa")
    assert (
        "out/genome: 8 bases, contigs: 2, 2 N, 2 soft-masked, 66.7% GC, fingerprint"
        in built
    )
    assert "contig c2: 2 bases" in built
    assert said(capsys, "data", "inspect", "out/genome") == built
    assert json.loads(said(capsys, "data", "inspect", "out/genome", "--json"))[
        "contigs"
    ][1] == ["c2", 2, 6]
    assert "--name-by-file" in refused(capsys, "data", "build", "dna", "both", "*.fa")
    report = json.loads(
        said(capsys, "data", "build", "dna", "both", "*.fa", "--name-by-file", "--json")
    )
    assert [name for name, *_ in report["contigs"]] == ["x:c1", "x:c2", "y:c1"]
    assert "none.fa" in refused(capsys, "data", "build", "dna", "other", "none.fa")
    assert "another genome" in refused(
        capsys, "data", "build", "dna", "out/genome", "y.fa"
    )
    assert not (scratch / "other").exists()


def test_build_msa_and_inspect(scratch, capsys):
    (scratch / "a.maf").write_text(MAF)
    (scratch / "g.fa").write_text(">c1\nNACGTa\n")
    built = said(
        capsys,
        "data",
        "build",
        "msa",
        "out",
        "a.maf",
        "--genome",
        "g.fa",
        "--reference",
        "hg",
    )
    assert (
        "out: 2 species, 6 bases of hg, 4 of them in 1 blocks (66.7%), fingerprint"
        in built
    )
    assert "mm: 3 bases" in built
    assert said(capsys, "data", "inspect", "out") == built
    report = json.loads(said(capsys, "data", "inspect", "out", "--json"))
    assert report["species"] == ["hg", "mm"]
    assert round(report["covered_share"], 3) == 0.667
    by_store = said(capsys, "data", "build", "dna", "genome", "g.fa")
    assert "6 bases" in by_store
    said(capsys, "data", "build", "msa", "again", "a.maf", "--genome", "genome")
    (scratch / "names.txt").write_text("mm\n")
    for named in ("mm", "names.txt"):
        report = said(
            capsys,
            "data",
            "build",
            "msa",
            f"of_{named}",
            "a.maf",
            "--species",
            named,
            "--json",
        )
        assert json.loads(report)["species"] == ["hg", "mm"]
    assert "species 'rn'" in refused(
        capsys, "data", "build", "msa", "no", "a.maf", "--species", "mm,rn"
    )
    assert "Did you mean hg" in refused(
        capsys, "data", "build", "msa", "no", "a.maf", "--reference", "hgg"
    )
    (scratch / "g.fa").write_text(">c1\nNACGAa\n")
    assert "differ, first at c1:5" in refused(
        capsys, "data", "build", "msa", "no", "a.maf", "--genome", "g.fa"
    )
    (scratch / "a.maf").write_text(MAF[:-3])
    assert "may be truncated" in refused(capsys, "data", "build", "msa", "no", "a.maf")
    assert not (scratch / "no").exists()


def test_a_damaged_genome_is_one_line(scratch, capsys):
    (scratch / "x.fa").write_text(">c1\nACGT\nAC!T\n")
    message = refused(capsys, "data", "build", "dna", "out", "x.fa")
    assert "x.fa: record c1 must hold IUPAC letters, got '!' at base 7." in message
    assert not (scratch / "out").exists()


GENOME_RECIPE = ROOT / "recipes" / "dna" / "motifs_demo.yaml"


def checked(*settings):
    """Words of `check` for a small recipe on data of one's own."""
    data = "data={root: g.fa, length: 8, held_out: 0.2}"
    small = (
        data,
        "model={encoder: conv, width: 8, depth: 2}",
        "batch.global_samples=2",
        *settings,
    )
    return [
        "check",
        GENOME_RECIPE,
        *(word for setting in small for word in ("--set", setting)),
    ]


@pytest.fixture
def stores(scratch, capsys):
    """A store of every kind, a run's folder, a folder, and files."""
    letters = "".join("ACGT"[number * number % 7 % 4] for number in range(200))
    (scratch / "g.fa").write_text(f">c1\n{letters}\n")
    (scratch / "a.maf").write_text(
        f"##maf version=1\na\ns hg.c1 0 150 + 200 {letters[:150]}\ns mm.x 0 3 + 9 ACG{'-' * 147}\n"
    )
    said(capsys, "data", "build", "dna", "genome", "g.fa")
    said(capsys, "data", "build", "msa", "alignment", "a.maf")
    make_cells(20, 10).write_h5ad("cells.h5ad")
    said(capsys, "data", "build", "cell", "cells", "cells.h5ad")
    (scratch / "text").mkdir()
    (scratch / "text" / "meta.json").write_text(
        '{"format": "r2mae text store 2", "tokens": 3}'
    )
    (scratch / "run").mkdir()
    (scratch / "run" / "run.json").write_text("{}")
    (scratch / "folder").mkdir()
    return scratch


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "g.fa",
            "must be a store, got a FASTA file. Build one of it: r2mae data build dna, or msa where it is aligned.",
        ),
        (
            "a.maf",
            "must be a store, got a MAF file. Build one of it: r2mae data build msa.",
        ),
        (
            "folder",
            "must be a store, got a folder that is no store. Stores are built of files: r2mae data build",
        ),
        (
            "run",
            "must be a store, got a run. What it was trained on stands in its recipe.yaml",
        ),
        ("none", "must be a store, got nothing. Check the path."),
        ("text", "must be a store of text"),
    ],
)
def test_inspect_names_what_is_no_store(stores, capsys, name, words):
    assert f"{name} {words}" in refused(capsys, "data", "inspect", name)


@pytest.mark.parametrize(
    ("root", "of_genome", "of_alignment"),
    [
        (
            "text",
            "got a store of text. Build one: r2mae data build dna",
            "got a store of text. Build one",
        ),
        (
            "cells",
            "got a store of cells. Build one: r2mae data build dna",
            "got a store of cells. Build one",
        ),
        (
            "genome",
            None,
            "got a genome's store. Build one: r2mae data build msa. A genome alone is read without data.",
        ),
        (
            "alignment",
            "got an alignment's store. Its genome is alignment/reference; with data.alignment: {}",
            None,
        ),
        (
            "run",
            "got the folder 'run', a run. Name the store",
            "got the folder 'run', a run",
        ),
        (
            "folder",
            "got the folder 'folder'. Name the store",
            "got the folder 'folder'.",
        ),
    ],
)
def test_a_recipe_is_told_what_its_root_is(
    stores, capsys, root, of_genome, of_alignment
):
    for words, more in ((of_genome, ()), (of_alignment, ("data.alignment={}",))):
        arguments = checked(f"data.root={root}", *more)
        if words is None:
            printed = said(capsys, *arguments)
            assert (
                "2 species; blocks cover 75.0% of 200 bases of hg" in printed
            ) == bool(more)
        else:
            assert words in refused(capsys, *arguments)


STOPPED = """
import sys, time
from r2mae.modalities.dna.alignment import source as alignment_source
from r2mae.modalities.dna.genome import build as genome_build

def slowly(read):
    def parts(*arguments):
        for number, part in enumerate(read(*arguments)):
            yield part
            if number == 1:
                open("half", "w").close()
                time.sleep(60)
    return parts

genome_build.read_fasta = slowly(genome_build.read_fasta)
alignment_source.read_maf = slowly(alignment_source.read_maf)
from r2mae.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("kind", "file", "number", "code"),
    [
        ("dna", "g.fa", signal.SIGINT, 130),
        ("dna", "g.fa", signal.SIGKILL, -9),
        ("msa", "a.maf", signal.SIGTERM, 143),
        ("msa", "a.maf", signal.SIGKILL, -9),
    ],
)
def test_a_stopped_build_starts_again(scratch, capsys, kind, file, number, code):
    (scratch / "g.fa").write_text(">c1\nACGT\n>c2\nAC\n")
    (scratch / "a.maf").write_text(
        MAF + "\na\ns hg.c1 5 1 + 6 A\n\na\ns hg.c2 0 1 + 6 A\n"
    )
    command = ["data", "build", kind, "made/out", file]
    words = [sys.executable, "-c", STOPPED, *command]
    # Tests that run in the background ignore SIGINT, and so would their children.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **heard)
    while not (scratch / "half").exists() and process.poll() is None:
        time.sleep(0.01)
    (left,) = (
        path.name for path in (scratch / "made").glob(".building_out*") if path.is_dir()
    )
    process.send_signal(number)
    line = process.communicate(timeout=30)[1].strip()
    assert process.returncode == code, line
    if number != signal.SIGKILL:  # who is killed so takes nothing away
        assert (
            line.splitlines()[-1]
            == f"r2mae: {'interrupted' if code == 130 else 'stopped by signal 15'}"
        )
        assert [path.name for path in (scratch / "made").iterdir()] == [left] * (
            kind == "msa"
        )  # it will go on there
    said(capsys, *command)
    assert [path.name for path in (scratch / "made").iterdir()] == ["out"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_commands_of_the_documentation(capsys):
    folder = SHARED / "dna"
    said(capsys, "data", "build", "dna", "out/ecoli", folder / "ecoli_k12" / "*.fna.gz")
    assert "4,641,652 bases" in said(capsys, "data", "inspect", "out/ecoli")
    built = said(
        capsys, "data", "build", "msa", "out/chr22", folder / "chr22_maf" / "*.maf.gz"
    )
    assert (
        "5 species, 1,000,001 bases of hg17, 218,573 of them in 1,415 blocks" in built
    )
