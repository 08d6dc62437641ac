"""Variants as others write them: the same from VCF, tables and parquet; what cannot be scored is counted or refused."""

import gzip

import numpy as np
import pandas as pd
import pytest

from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import decode
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.variants.reader import read_variants
from tests.conftest import SHARED

pytestmark = pytest.mark.usefixtures("scratch")
HEAD = "##fileformat=VCFv4.2\n##INFO=<ID=CLNSIG>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
RECORDS = [
    "c1\t1\trs1\tA\tG\t.\tPASS\tCLNSIG=Benign;AF=0.1\tGT\t0/1",
    "c1\t2\t.\tc\tT,A,<DEL>\t.\t.\tAF=0.2\tGT\t0/1",
    "c2\t4\t.\tT\tTA\t.\t.\tCLNSIG=Pathogenic\tGT\t0/1",
    "c2\t3\t.\tG\tN\t.\t.\t.\tGT\t0/1",
    "c2\t3\t.\tG\t*\t.\t.\t.\tGT\t0/1",
    "c2\t3\t.\tG\tG]c1:5]\t.\t.\t.\tGT\t0/1",
    "c2\t3\t.\tG\t.\t.\t.\t.\tGT\t0/1",
    "c2\t0\t.\tN\tA\t.\t.\t.\tGT\t0/1",
    "c2\t0\t.\tC\tA\t.\t.\t.\tGT\t0/1",
    "c2\t4\tlast\tT\tA\t.\t.\tX=1;CLNSIG=Pathogenic;Y=2\tGT\t0/1",
]


@pytest.fixture
def genome(scratch):
    path = scratch / "g.fa"
    path.write_text(">c1\nAcGTNACGTAACCGGTTACA\n>c2\nACGT\n")
    return open_genome([path])


def words_of(genome, variants):
    names = [genome.contigs[number].name for number in variants.contigs]
    return [
        f"{name}:{position} {ref}>{alt}"
        for name, position, ref, alt in zip(
            names,
            variants.positions,
            decode(variants.ref),
            decode(variants.alt),
            strict=True,
        )
    ]


WANTED = ["c1:0 A>G", "c1:1 C>T", "c1:1 C>A", "c2:3 T>A"]


@pytest.mark.parametrize("packed", [False, True])
def test_vcf(scratch, genome, packed):
    text = (HEAD + "\n".join(RECORDS) + "\n").encode()
    path = scratch / ("a.vcf" + ".gz" * packed)
    path.write_bytes(gzip.compress(text) if packed else text)
    variants = read_variants(path, genome)
    assert words_of(genome, variants) == WANTED
    assert variants.rows.tolist() == [0, 1, 1, 9]
    assert variants.alleles.tolist() == [0, 0, 1, 0]
    assert variants.skipped == {"symbolic": 4, "indel": 1, "letter": 2, "position": 1}
    assert variants.column("ID").tolist() == ["rs1", ".", ".", "last"]
    assert variants.column("CLNSIG").tolist() == ["Benign", "", "", "Pathogenic"]
    assert len(variants) == len(variants.table) == 4
    with pytest.raises(
        InputError, match="column 'CLNSIC', got none so named. Did you mean CLNSIG"
    ):
        variants.column("CLNSIC")


@pytest.mark.parametrize("kind", ["a.tsv", "a.csv", "a.csv.gz", "a.parquet", "a.txt"])
def test_tables(scratch, genome, kind):
    frame = pd.DataFrame(
        {"label": [1, 0, 2, 3], "Chrom": ["c1", "c1", "c1", "c2"], "POS": [1, 2, 2, 4], "ref": list("ACct"),
         "Alt": ["G", "T", "a", "A"]}
    )  # fmt: skip
    if kind == "a.parquet":
        frame.to_parquet(kind)
    else:
        frame.to_csv(kind, index=False, sep="," if "csv" in kind else "\t")
    variants = read_variants(scratch / kind, genome)
    assert words_of(genome, variants) == WANTED
    labels = variants.column("label").tolist()
    assert labels == ([1, 0, 2, 3] if kind == "a.parquet" else ["1", "0", "2", "3"])
    assert not variants.skipped


def test_cells_stay_as_they_stand_and_quotes_swallow_nothing(scratch, genome):
    lines = [
        "chrom\tpos\tref\talt\tnote",
        'c1\t1\tA\tG\t"half',
        "c1\t2\tC\tT\t007",
        "c1\t2\tC\tA\tNA",
        'c2\t4\tT\tA\t1.10"',
    ]
    (scratch / "a.tsv").write_text("\n".join(lines) + "\n")
    variants = read_variants(scratch / "a.tsv", genome)
    assert words_of(genome, variants) == WANTED
    assert variants.column("note").tolist() == ['"half', "007", "NA", '1.10"']
    frame = pd.DataFrame(
        {"chrom": ["c1"], "pos": [1], "ref": ["A"], "alt": ["G"], "note": ["x"]}
    )
    frame.astype(
        {"chrom": "category", "ref": "category", "note": "category"}
    ).to_parquet("b.parquet")
    assert words_of(genome, read_variants(scratch / "b.parquet", genome)) == WANTED[:1]


def test_one_long_allele_does_not_make_all_of_them_long(scratch, genome):
    import tracemalloc

    lines = ["c1\t1\t.\tA\tG"] * 2000 + ["c1\t1\t.\tA\t" + "G" * 100_000]
    (scratch / "a.vcf").write_text(
        "#CHROM\tPOS\tID\tREF\tALT\n" + "\n".join(lines) + "\n"
    )
    tracemalloc.start()
    variants = read_variants(scratch / "a.vcf", genome)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(variants), variants.skipped) == (2000, {"indel": 1})
    assert peak < 50e6


def test_names_positions_and_contigs_of_ones_own(scratch, genome):
    (scratch / "a.tsv").write_text(
        "where\tplace\tfrom\tto\nI\t0\tA\tG\nI\t-1\tA\tG\nI\t\tA\tG\n"
    )
    names = {"contig": "where", "position": "place", "ref": "from", "alt": "to"}
    variants = read_variants(
        scratch / "a.tsv", genome, columns=names, first=0, aliases={"I": "c1"}
    )
    assert words_of(genome, variants) == ["c1:0 A>G"]
    assert variants.skipped == {"position": 2}
    (scratch / "one.fa").write_text(">only\nACGT\n")
    (scratch / "b.csv").write_text("pos,ref,alt\n2,C,A\n")
    single = open_genome([scratch / "one.fa"])
    assert words_of(single, read_variants(scratch / "b.csv", single)) == ["only:1 C>A"]


def test_numbers_stay_names_of_contigs(scratch):
    (scratch / "g.fa").write_text(">1\nACGT\n>02\nACGT\n")
    genome = open_genome([scratch / "g.fa"])
    (scratch / "a.tsv").write_text("chrom\tpos\tref\talt\n1\t1\tA\tC\n02\t2\tC\tT\n")
    assert words_of(genome, read_variants(scratch / "a.tsv", genome)) == [
        "1:0 A>C",
        "02:1 C>T",
    ]


def table(rows):
    return "chrom\tpos\tref\talt\n" + "".join(
        "\t".join(map(str, row)) + "\n" for row in rows
    )


def true_rows(genome, shift=0):
    bases = decode(genome.fetch("c1", 0, 20)).upper()
    return [("c1", place + 1 + shift, base, "ACGT"["ACGT".index(base) - 1]) for place, base in enumerate(bases)
            if base != "N"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tsv", lambda g: table([("chr1", 1, "A", "C")]), ["1 of 1 variants", "'chr1'", "record 1", "chr1=NAME"]),
        ("a.tsv", lambda g: table(true_rows(g, -1)[1:]), ["REF", "100.0% match the base after", "0-based"]),
        ("a.tsv", lambda g: table(true_rows(g, 1)), ["REF", "100.0% match the base before", "one too high"]),
        ("a.tsv", lambda g: table([("c1", n, "A", "C") for n in (1, 2, 3, 4, 5, 7, 8, 30)]),
         ["7 of 8", "c1:2 A>C where the genome has C", "c1:7 A>C where the genome has C", "variants were called on"]),
        ("a.tsv", lambda g: table([("c1", "x", "A", "C")]), ["record 1", "integer", "'x'"]),
        ("a.tsv", lambda g: table([("c1", 1, "A", "C"), ("c1", 1.5, "A", "C")]), ["record 2", "integer", "1.5"]),
        ("a.tsv", lambda g: table([("c1", 1, "A", "AT")]), ["single-nucleotide", "1 indel"]),
        ("a.tsv", lambda g: table([]), ["single-nucleotide", "no record"]),
        ("a.tsv", lambda g: "chrom\tpos\tref\n", ["column of the alt", "alt or alternate"]),
        ("a.tsv", lambda g: "pos\tref\talt\n1\tA\tC\n", ["column of the contig"]),
        ("a.tsv", lambda g: "chrom\tpos\tref\talt\n1\t2\t3\t4\t5\n1\t2\t3\t4\t5\t6\n", ["must be a table"]),
        ("a.vcf", lambda g: "c1\t1\t.\tA\tG\n", ["#CHROM POS ID REF ALT"]),
        ("a.vcf", lambda g: "", ["#CHROM POS ID REF ALT"]),
        ("a.vcf", lambda g: HEAD + RECORDS[0] + "\nc1\t2\t.\tC", ["record 2", "truncated"]),
        ("a.vcf", lambda g: HEAD, ["single-nucleotide", "no record"]),
        ("a.vcf", lambda g: HEAD + RECORDS[0].replace("\t1\t", "\tone\t"), ["record 1", "integer", "'one'"]),
        ("a.tsv", lambda g: table([("c1", 1, "A", "C")]) + "c1\t2", ["last record", "ALT", "truncated"]),
        ("a.tsv", lambda g: table([("c1", "inf", "A", "C")]), ["record 1", "integer", "'inf'"]),
        ("a.tsv", lambda g: table([("c1", "1e19", "A", "C")]), ["record 1", "integer", "'1e19'"]),
        ("a.parquet", lambda g: "PAR1 but no", ["readable as parquet"]),
        ("a.docx", lambda g: "x", ["supported suffix", ".docx"]),
        ("a.bcf.gz", lambda g: "x", ["supported suffix", ".bcf"]),
    ],
    ids=range(22),
)  # fmt: skip
def test_bad_variants_are_one_line(scratch, genome, name, text, words):
    (scratch / name).write_text(text(genome))
    with pytest.raises(InputError) as found:
        read_variants(scratch / name, genome)
    assert all(word in str(found.value) for word in [name, *words]), str(found.value)
    with pytest.raises(InputError, match="got no such file"):
        read_variants(scratch / "none.vcf", genome)


def test_only_five_mismatches_are_named(scratch, genome):
    (scratch / "a.tsv").write_text(
        table([("c1", n, "A", "C") for n in (2, 3, 4, 5, 7, 8, 9)])
    )
    with pytest.raises(InputError) as found:
        read_variants(scratch / "a.tsv", genome)
    assert str(found.value).count("where the genome has") == 5


def test_beyond_the_end_there_is_no_base(scratch, genome):
    (scratch / "a.tsv").write_text(table([("c1", 21, "A", "C")]))
    with pytest.raises(InputError, match="c1:21 A>C where the genome has no base"):
        read_variants(scratch / "a.tsv", genome)


def test_masked_genomes_are_named(scratch, genome):
    (scratch / "a.tsv").write_text(table([("c1", 5, "G", "C")]))
    with pytest.raises(
        InputError,
        match=r"c1:5 G>C where the genome has N\. Most of these bases are N: use a genome",
    ):
        read_variants(scratch / "a.tsv", genome)


def test_contigs_are_found_with_and_without_chr(scratch):
    (scratch / "g.fa").write_text(">chr1\nAC\n>2\nGT\n>MT\nTT\n")
    genome = open_genome([scratch / "g.fa"])
    (scratch / "a.tsv").write_text(
        table([("1", 1, "A", "C"), ("chr2", 1, "G", "C"), ("chrM", 1, "T", "C")])
    )
    assert read_variants(scratch / "a.tsv", genome).contigs.tolist() == [0, 1, 2]


def test_a_few_misplaced_ones_are_left_out_and_counted(scratch, genome):
    rows = [*true_rows(genome), ("c1", 1, "G", "C"), ("gone", 1, "A", "C")]
    (scratch / "a.tsv").write_text(table(rows))
    variants = read_variants(scratch / "a.tsv", genome, most_wrong=0.1)
    assert variants.rows.tolist() == list(range(19))
    assert variants.skipped == {"contig": 1, "mismatch": 1}
    assert variants.mismatches == ["c1:1 G>C where the genome has A"]
    with pytest.raises(InputError, match="'gone'"):
        read_variants(scratch / "a.tsv", genome, most_wrong=0.01)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_real_variants():
    folder = SHARED / "dna" / "human_mito"
    genome = open_genome([folder / "NC_012920.1.fa"])
    variants = read_variants(folder / "clinvar_snv.csv", genome)
    assert (len(variants), variants.skipped) == (
        2749,
        {"letter": 1},
    )  # one has N as REF, at 3107
    assert np.bincount(variants.column("label").astype(int) + 1).sum() == 2749
    name = "gnomad.genomes.v3.1.sites.chrM.reduced_annotations.tsv.gz"
    with pytest.raises(InputError, match="'chrM'"):
        read_variants(folder / name, genome)
    known = read_variants(folder / name, genome, aliases={"chrM": "NC_012920.1"})
    assert (len(known), known.skipped) == (15_770, {"indel": 2394})
