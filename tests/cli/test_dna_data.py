"""Genomes and alignments from the command line: built, looked at, refused in one line."""

import json

import pytest

from tests.cli.test_cells import refused, said
from tests.conftest import SHARED

pytestmark = pytest.mark.usefixtures("scratch")
MAF = "##maf version=1\na\ns hg.c1 1 4 + 6 ACgT\ns mm.x 0 3 + 9 A-TT\n"


def test_build_dna_and_inspect(scratch, capsys):
    (scratch / "x.fa").write_text(">c1\nACgtNN\n>c2\nGG\n")
    (scratch / "y.fa").write_text(">c1\nA\n")
    built = said(capsys, "data", "build", "dna", "out/genome", "x.fa")
    assert "out/genome: 8 bases, contigs: 2, 2 unknown, 2 soft-masked, 66.7% G or C, fingerprint" in built
    assert "contig c2: 2 bases" in built
    assert said(capsys, "data", "inspect", "out/genome") == built
    assert json.loads(said(capsys, "data", "inspect", "out/genome", "--json"))["contigs"][1] == ["c2", 2, 6]
    assert "--name-by-file" in refused(capsys, "data", "build", "dna", "both", "*.fa")
    report = json.loads(said(capsys, "data", "build", "dna", "both", "*.fa", "--name-by-file", "--json"))
    assert [name for name, *_ in report["contigs"]] == ["x:c1", "x:c2", "y:c1"]
    assert "none.fa" in refused(capsys, "data", "build", "dna", "other", "none.fa")
    assert "another genome" in refused(capsys, "data", "build", "dna", "out/genome", "y.fa")
    assert not (scratch / "other").exists()


def test_build_msa_and_inspect(scratch, capsys):
    (scratch / "a.maf").write_text(MAF)
    (scratch / "g.fa").write_text(">c1\nNACGTa\n")
    built = said(capsys, "data", "build", "msa", "out", "a.maf", "--genome", "g.fa", "--reference", "hg")
    assert "out: 2 species along 6 bases of hg, 4 of them in 1 blocks" in built
    assert "mm: 3 bases" in built
    assert said(capsys, "data", "inspect", "out") == built
    assert json.loads(said(capsys, "data", "inspect", "out", "--json"))["species"] == ["hg", "mm"]
    by_store = said(capsys, "data", "build", "dna", "genome", "g.fa")
    assert "6 bases" in by_store
    said(capsys, "data", "build", "msa", "again", "a.maf", "--genome", "genome")
    (scratch / "names.txt").write_text("mm\n")
    for named in ("mm", "names.txt"):
        report = said(capsys, "data", "build", "msa", f"of_{named}", "a.maf", "--species", named, "--json")
        assert json.loads(report)["species"] == ["hg", "mm"]
    assert "species 'rn'" in refused(capsys, "data", "build", "msa", "no", "a.maf", "--species", "mm,rn")
    assert "Did you mean hg" in refused(capsys, "data", "build", "msa", "no", "a.maf", "--reference", "hgg")
    (scratch / "g.fa").write_text(">c1\nNACGAa\n")
    assert "differ, first at c1:5" in refused(capsys, "data", "build", "msa", "no", "a.maf", "--genome", "g.fa")
    (scratch / "a.maf").write_text(MAF[:-3])
    assert "may be cut off" in refused(capsys, "data", "build", "msa", "no", "a.maf")
    assert not (scratch / "no").exists()


def test_a_damaged_genome_is_one_line(scratch, capsys):
    (scratch / "x.fa").write_text(">c1\nACGT\nAC!T\n")
    message = refused(capsys, "data", "build", "dna", "out", "x.fa")
    assert "x.fa: record c1 must hold IUPAC letters, got '!' at base 7." in message
    assert not (scratch / "out").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_commands_of_the_documentation(capsys):
    folder = SHARED / "dna"
    said(capsys, "data", "build", "dna", "out/ecoli", folder / "ecoli_k12" / "*.fna.gz")
    assert "4,641,652 bases" in said(capsys, "data", "inspect", "out/ecoli")
    built = said(capsys, "data", "build", "msa", "out/chr22", folder / "chr22_maf" / "*.maf.gz")
    assert "5 species along 1,000,001 bases of hg17, 218,573 of them in 1,415 blocks" in built
