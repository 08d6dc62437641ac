"""Alignments to columns along a reference, against plain readers; damaged files in one line, nothing written."""

import gzip
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.modalities.dna.alignment import build as alignment_build
from r2mae.modalities.dna.alignment import source as alignment_source
from r2mae.modalities.dna.alignment import writer as alignment_writer
from r2mae.modalities.dna.alignment.build import build_alignment_store, open_alignment
from r2mae.modalities.dna.alignment.store import open_alignment_store
from r2mae.modalities.dna.genome.bases import GAP, N, decode, reverse_complement
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.files import expand_dna
from r2mae.modalities.dna.genome.windows import Windows
from tests.conftest import SHARED

pytestmark = pytest.mark.usefixtures("scratch")
MAF = """##maf version=1
# a comment
a score=1.0
s ref.c1 2 6 + 12 ACg-TNA
s mus.x  0 6 - 99 AC-TTGA
i mus.x N 0 C 0
s rat.1  5 3 + 50 A---TT-

a
s ref.c2 0 3 + 4  GGC
s mus.x  9 3 + 99 GTC
e rat.1  5 3 + 50 I

a score=3
s mus.x  9 3 + 99 GTC
s rat.1  9 3 + 50 GTC

a
s rat.1  9 2 + 50 T-C
s ref.c1 1 3 - 12 AAC
s dog.y  1 2 + 12 A.G
s rat.2  1 3 + 12 GGG
"""


def write(path, text):
    path.write_text(text)
    return path


def columns(store, contig):
    """Letters of every species along a contig."""
    length = store.reference.contig(contig).length
    return {
        name: decode(row)
        for name, row in zip(
            store.species, store.fetch(contig, 0, length).T, strict=True
        )
    }


def test_blocks_become_columns(scratch):
    store = build_alignment_store(scratch / "out", [write(scratch / "a.maf", MAF)])
    assert store.species == ["ref", "mus", "rat", "dog"]
    assert [contig[:2] for contig in store.contigs] == [("c1", 12), ("c2", 4)]
    # the last block is of the other strand: bases 1 to 4 from the end
    assert columns(store, "c1") == {
        "ref": "NNACGTNAGTTN",
        "mus": "--AC-TGA----",
        "rat": "--A--TT-G-A-",
        "dog": "--------C-T-",
    }
    assert columns(store, "c2") == {
        "ref": "GGCN",
        "mus": "GTC-",
        "rat": "----",
        "dog": "----",
    }
    assert decode(store.reference.fetch("c1", 0, 12)) == "NNACgTNAGTTN"
    assert store.covered.tolist() == [[2, 11], [12, 15]]
    wanted = {
        "blocks": 4,
        "without_reference": 1,
        "repeated_rows": 1,
        "covered": 12,
        "covered_twice": 0,
    }
    assert {name: store.meta[name] for name in wanted} == wanted
    assert store.meta["aligned"] == {"ref": 11, "mus": 8, "rat": 5, "dog": 2}


def test_the_reference_may_be_another_species(scratch):
    with pytest.raises(
        InputError, match="as an earlier block has it, got another base at 1:10"
    ):
        open_alignment([write(scratch / "bad.maf", MAF)], "rat")
    store = open_alignment(
        [write(scratch / "a.maf", MAF.replace("9 3 + 50 GTC", "9 3 + 50 TCC"))], "rat"
    )
    assert store.species[0] == "rat"
    assert [contig.name for contig in store.contigs] == ["1"]
    assert columns(store, "1")["mus"][5:12] == "ATG-GTC"


def test_some_species_are_kept(scratch):
    path = write(scratch / "a.maf", MAF)
    store = build_alignment_store(scratch / "out", [path], species=["dog", "mus"])
    assert store.species == ["ref", "dog", "mus"]
    whole = open_alignment([path])
    for name in store.species:
        assert columns(store, "c1")[name] == columns(whole, "c1")[name]
    with pytest.raises(InputError, match="species 'dig' .*Did you mean dog"):
        build_alignment_store(scratch / "no", [path], species=["dig"])
    fasta = write(scratch / "b.fa", ">man\nAC\n>ape\nAG\n>cat\nTT\n")
    chosen = build_alignment_store(scratch / "fasta", [fasta], species=["cat"])
    assert columns(chosen, "b") == {"man": "AC", "cat": "TT"}
    copy = pickle.loads(pickle.dumps(whole))
    assert columns(copy, "c1") == columns(whole, "c1")
    assert len(pickle.dumps(whole)) < 2000


DOTTED = """##maf version=1
a
s GCA_1.1.chr1 0 4 + 6 ACGT
s GCA_2.1.chr1 0 4 + 9 ACGA
s GCA_2.3.chr1 0 4 + 9 ACGC
s mus          5 4 + 9 TTTT
"""


def test_a_source_without_a_dot_is_species_and_contig(scratch):
    store = build_alignment_store(
        scratch / "out", [write(scratch / "a.maf", MAF.replace("ref.c2", "ref"))]
    )
    assert store.species == ["ref", "mus", "rat", "dog"]
    assert [contig[:2] for contig in store.contigs] == [("c1", 12), ("ref", 4)]
    assert columns(store, "ref")["mus"] == "GTC-"
    genome = open_genome([write(scratch / "g.fa", ">c1\nTTACGTNAGTTG\n>c2\nGGCA\n")])
    with pytest.raises(
        InputError,
        match=r"g.fa must have the contig 'ref' .*write ref.CONTIG there. .*c1",
    ):
        build_alignment_store(scratch / "no", [scratch / "a.maf"], genome=genome)
    assert not (scratch / "no").exists()


def test_species_that_are_named_may_hold_dots(scratch):
    path = write(scratch / "a.maf", DOTTED)
    cut = build_alignment_store(scratch / "cut", [path])
    assert cut.species == ["GCA_1", "GCA_2", "mus"]
    assert cut.meta["repeated_rows"] == 1
    assert "--species GCA_2.1,GCA_2.3" in cut.doubt
    named = ["GCA_1.1", "GCA_2.3", "GCA_2.1", "mus"]
    for options in ({"species": named}, {"reference": "GCA_1.1", "species": named[1:]}):
        store = build_alignment_store(
            scratch / f"out_{len(options)}", [path], **options
        )
        assert store.species == named
        assert list(columns(store, "chr1").values()) == [
            "ACGTNN",
            "ACGC--",
            "ACGA--",
            "TTTT--",
        ]
        assert store.meta["repeated_rows"] == 0
        assert store.doubt == ""
    alone = write(scratch / "b.maf", "\n".join(DOTTED.splitlines()[:4]) + "\n")
    apart = "\na\ns hg.1 0 4 + 9 ACGT\ns GCA_2.{}.chr1 0 4 + 9 ACGA\n"
    (scratch / "apart").mkdir()
    paths = [
        write(scratch / "apart" / f"{number}.maf", apart.format(number))
        for number in (1, 2)
    ]
    assert "GCA_2.1" in open_alignment(paths).doubt  # never in one block
    assert (
        "if it is chr1 of GCA_1.1: --reference GCA_1.1" in open_alignment([alone]).doubt
    )
    assert open_alignment([alone], "GCA_1.1").doubt == ""
    assert open_alignment([write(scratch / "c.maf", MAF)]).doubt == ""


@pytest.mark.parametrize(
    ("source", "contig"), [("GCA_1.1.chr1", "chr1"), ("NC_913.3", "NC_913.3")]
)
def test_a_genome_tells_where_names_were_cut(scratch, source, contig):
    path = write(
        scratch / "a.maf",
        f"##maf version=1\na\ns {source} 0 4 + 6 ACGT\ns mus.x 0 4 + 9 ACGA\n",
    )
    genome = open_genome([write(scratch / "g.fa", f">{contig}\nACGTAC\n")])
    whole = source.removesuffix(f".{contig}")
    with pytest.raises(
        InputError, match=f"If '{whole}' is the species, name it as the reference"
    ):
        build_alignment_store(scratch / "out", [path], genome=genome)
    store = build_alignment_store(scratch / "out", [path], whole, genome)
    assert columns(store, contig) == {whole: "ACGTAC", "mus": "ACGA--"}


def test_lines_as_old_macs_end_them(scratch):
    with pytest.raises(
        InputError, match=r"a.maf must have lines that end in .n, got .r alone.* tr '"
    ):
        build_alignment_store(
            scratch / "out", [write(scratch / "a.maf", MAF.replace("\n", "\r"))]
        )
    store = open_alignment([write(scratch / "b.fa", ">man\rAC\rGT\r>ape\rAC\r-T\r")])
    assert columns(store, "b") == {"man": "ACGT", "ape": "AC-T"}
    assert build_alignment_store(scratch / "dos", [write(scratch / "c.maf", MAF.replace("\n", "\r\n"))]).species == [
        "ref", "mus", "rat", "dog",
    ]  # fmt: skip


def random_maf(folder, draw, *, lengths=(90, 40), blocks=25, shuffled):
    """A file of random blocks, and the columns that they mean, where blocks that come first count."""
    letters = {
        f"c{number}": draw.choice(list("ACGTacgt"), size)
        for number, size in enumerate(lengths)
    }
    wanted = {name: np.full((len(row), 4), GAP) for name, row in letters.items()}
    for name, row in wanted.items():
        row[:, 0] = N
        del name
    order = []
    for _ in range(blocks):
        contig = draw.choice(list(letters))
        start = int(draw.integers(0, len(letters[contig]) - 1))
        order.append(
            (
                contig,
                start,
                int(
                    draw.integers(start + 1, min(start + 20, len(letters[contig])) + 1)
                ),
            )
        )
    if not shuffled:
        order.sort()
    text = "##maf version=1\n"
    for contig, start, stop in order:
        row = "".join(letters[contig][start:stop])
        size = len(letters[contig])
        text += f"\na\ns ref.{contig} {start} {stop - start} + {size} {row}\n"
        for species in draw.permutation(3)[: draw.integers(0, 4)]:
            other = draw.choice(list("ACGTN-"), stop - start)
            bases = int((other != "-").sum())
            text += f"s s{species}.x 0 {bases} + 1000 {''.join(other)}\n"
            part = wanted[contig][start:stop, 1 + species]
            codes = np.array(["ACGTN-".index(letter) for letter in other])
            part[:] = np.where(part == GAP, codes, part)
        codes = np.array(["ACGT".index(letter.upper()) for letter in row])
        wanted[contig][start:stop, 0] = codes
    return write(folder / "random.maf", text), wanted, letters


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("together", [16, 1 << 24])
def test_overlapping_and_unordered_blocks(scratch, monkeypatch, shuffled, together):
    for module in (alignment_build, alignment_writer):
        monkeypatch.setattr(module, "TOGETHER", together)
    for seed in range(8):
        path, wanted, letters = random_maf(
            scratch, np.random.default_rng(seed), shuffled=shuffled
        )
        store = build_alignment_store(scratch / f"out_{seed}", [path], "ref")
        order = ["ref", *(f"s{number}" for number in range(3))]
        for contig in store.contigs:
            found = store.fetch(contig.name, 0, contig.length)
            for name, row in zip(order, wanted[contig.name].T, strict=True):
                assert (found[:, store.species.index(name)] == row).all(), (seed, name)
            known = wanted[contig.name][:, 0] != N
            real = np.where(known, letters[contig.name], "N")
            assert decode(
                store.reference.fetch(contig.name, 0, contig.length)
            ) == "".join(real)
        filled = {
            name: int(sum((row[:, n] < N).sum() for row in wanted.values()))
            for n, name in enumerate(order)
        }
        assert {name: store.meta["aligned"].get(name, 0) for name in order} == filled


class Stop(BaseException):
    """As Ctrl-C, which would end the tests where one of them lets it through."""


def blocks(draw, contig, starts, length=900):
    """MAF of blocks of up to 40 bases of one sequence at starts, three other species beside it, some gaps."""
    text = "".join(np.random.default_rng(len(contig)).choice(list("ACGT"), length))
    rows = ["##maf version=1"]
    for start in starts:
        size = int(min(draw.integers(5, 40), length - start))
        rows += [
            "",
            "a score=1",
            f"s ref.{contig} {start} {size} + {length} {text[start : start + size]}",
        ]
        for name in draw.permutation(["mus", "rat", "dog"])[:2]:
            other = "".join(draw.choice(list("ACGT-"), size))
            rows.append(f"s {name}.x 0 {size - other.count('-')} + 5000 {other}")
    return "\n".join([*rows, ""])


@pytest.mark.parametrize(
    "overlap", [False, True], ids=["in order", "over what is written"]
)
@pytest.mark.parametrize("stop_at", range(1, 60, 4))
def test_a_stopped_build_goes_on_behind_the_last_file(
    scratch, monkeypatch, overlap, stop_at
):
    """Stopped at any block of either pass, then continued: the same store, and no finished file is read again."""
    draw = np.random.default_rng(7)
    later = range(450 - 300 * overlap, 850, 60)
    texts = [
        blocks(draw, "c1", range(0, 440, 60)),
        blocks(draw, "c1", later),
        blocks(draw, "chr2", range(0, 800, 200)),
    ]
    paths = [
        write(scratch / f"{number}.maf", text) for number, text in enumerate(texts)
    ]
    wanted = build_alignment_store(scratch / "whole", paths)
    seen, stops = [], [stop_at]
    passes = {
        "scan": alignment_source.AlignmentSource.scan,
        "write": alignment_source.AlignmentSource.parts,
    }
    current = []

    def starting(name):
        def start(self, number):
            current[:] = [name]
            return passes[name](self, number)

        return start

    read = alignment_source.read_maf

    def stopping(path, *more):
        for part in read(path, *more):
            seen.append((*current, path.name))
            if stops and len(seen) == stops[0]:
                raise Stop
            yield part

    monkeypatch.setattr(alignment_source, "read_maf", stopping)
    monkeypatch.setattr(alignment_source.AlignmentSource, "scan", starting("scan"))
    monkeypatch.setattr(alignment_source.AlignmentSource, "parts", starting("write"))
    total = 2 * sum(text.count("a score") for text in texts)
    if stop_at < total:
        with pytest.raises(Stop):
            build_alignment_store(scratch / "out", paths)
    before, seen[:], stops[:] = list(seen), [], []
    found = build_alignment_store(scratch / "out", paths)
    assert found.meta == wanted.meta
    for contig in ("c1", "chr2"):
        assert columns(found, contig) == columns(wanted, contig)
        assert decode(found.reference.fetch(contig, 0, 900)) == decode(
            wanted.reference.fetch(contig, 0, 900)
        )
    assert np.array_equal(found.covered, wanted.covered)
    assert {path.name for path in (scratch / "out").rglob("*")} == {
        p.name for p in (scratch / "whole").rglob("*")
    }
    finished = {entry for entry in before if entry != before[-1]}
    again = finished & {*seen}
    assert not again or (overlap and again <= {("write", "0.maf")})


def test_a_build_that_was_stopped_at_its_end_is_finished(scratch, monkeypatch):
    path = write(scratch / "a.maf", MAF)

    class Stops(alignment_build.GenomeWriter):
        def finish(self, *_):
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(alignment_build, "GenomeWriter", Stops)
        with pytest.raises(Stop):
            build_alignment_store(scratch / "out", [path])
    store = build_alignment_store(scratch / "out", [path])
    assert decode(store.reference.fetch("c1", 0, 12)) == "NNACgTNAGTTN"
    assert [path.name for path in scratch.glob(".building*")] == []


def test_a_genome_fills_what_no_block_reaches(scratch):
    genome = open_genome([write(scratch / "g.fa", ">c2\nGGca\n>c1\nTTacgTnAGTTG\n")])
    maf = write(scratch / "a.maf", MAF)
    store = build_alignment_store(scratch / "out", [maf], genome=genome)
    assert columns(store, "c1")["ref"] == "TTACGTNAGTTG"
    assert columns(store, "c1")["mus"] == "--AC-TGA----"
    assert decode(store.reference.fetch("c1", 0, 12)) == "TTacgTnAGTTG"
    for text, words in (
        (">c2\nGGca\n>c1\nTTacgTnAGTTGA\n", "c1 must have 13 bases"),
        (">c2\nGGca\n", "contig 'c1'"),
        (
            ">c2\nGGca\n>c1\nTTacgTnAGATG\n",
            "line 20: .*1 of 3 bases that differ, first at c1:10",
        ),
    ):
        other = open_genome([write(scratch / "other.fa", text)])
        with pytest.raises(InputError, match=words):
            build_alignment_store(scratch / "no", [maf], genome=other)
        assert not (scratch / "no").exists()


def test_aligned_fasta(scratch, monkeypatch):
    for module in (alignment_build, alignment_writer):
        monkeypatch.setattr(module, "TOGETHER", 9)
    first = write(
        scratch / "gene_1.fa", ">man x\nACg-\nTTA\n>ape\nA-GGNTA\n>cat\nTTTTTTT\n"
    )
    second = write(scratch / "gene_2.msa.fasta", ">ape\nAC\n>man\nAG\n")
    store = build_alignment_store(scratch / "out", [first, second])
    assert store.species == ["man", "ape", "cat"]
    assert columns(store, "gene_1") == {
        "man": "ACGTTA",
        "ape": "A-GNTA",
        "cat": "TTTTTT",
    }
    assert columns(store, "gene_2") == {"man": "AG", "ape": "AC", "cat": "--"}
    assert decode(store.reference.fetch("gene_1", 0, 6)) == "ACgTTA"
    assert sorted(path.name for path in store.place.iterdir()) == [
        "columns.bin", "covered.bin", "meta.json", "reference",
    ]  # fmt: skip
    genome = open_genome([write(scratch / "g.fa", ">other\nACGTTA\n")])
    with pytest.raises(
        InputError,
        match=r"g.fa must have the contig 'gene_1' of man .*named after its contig",
    ):
        build_alignment_store(scratch / "no", [first], genome=genome)
    by_ape = build_alignment_store(scratch / "ape", [first, second], "ape")
    assert columns(by_ape, "gene_1")["man"] == "AG-TTA"


CUT = ["may be truncated", "download it again"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MAF[:-12], ["line 22", "got 3 fields", *CUT]),
        (MAF[:-3], ["line 22", "rat.2", "3 bases", "got 1", *CUT]),
        (
            MAF.replace("6 + 12 ACg-TNA", "7 + 12 ACg-TNA"),
            ["line 4", "ref.c1", "7 bases", "got 6", *CUT],
        ),
        (
            MAF.replace("s ref.c1 2 6 + 12", "s ref.c1 2 6 ? 12"),
            ["line 4", "ref.c1", "strand + or - within 12 bases", "got ? 2 to 8"],
        ),
        (MAF[: MAF.index("s ref.c2")], ["block before line 9", "must have rows", *CUT]),
        (MAF.replace("ACg-TNA", "ACg-T!A"), ["line 4", "ref.c1", "'!'", "column 6"]),
        (MAF.replace("AAC", "AZC"), ["line 20", "ref.c1", "'Z'", "column 2"]),
        (
            MAF.replace("s ref.c1 2 6 +", "s ref.c1 7 6 +"),
            ["line 4", "within 12 bases", "7 to 13"],
        ),
        (
            MAF.replace("s ref.c1 1 3 - 12", "s ref.c1 1 3 - 13"),
            ["c1 must have 12 bases", "got 13"],
        ),
        (MAF.replace("a score=1.0\n", ""), ["line 3", "outside a block"]),
        (MAF.replace("i mus.x", "? mus.x"), ["line 6", "a line of MAF"]),
        ("##maf version=1\n", ["MAF or aligned FASTA", "neither"]),
        ("", ["empty file"]),
        (">a\nACG\n>b\nAC\n", ["record b", "3 columns, as a has, got 2"]),
        (">a\nACG\n>a\nACG\n", ["record a", "twice"]),
        (">a\nACG\n", ["two aligned records", "got 1"]),
        (">a\nACG\n>b\nA!G\n", ["record b", "'!'", "base 2"]),
        (">a\n>b\n", ["record a", "columns, got 0"]),
    ],
    ids=range(18),
)
def test_damaged_files_are_one_line_and_leave_nothing(scratch, text, words):
    (scratch / "made").mkdir()
    write(scratch / "bad.maf", text)
    with pytest.raises(InputError) as found:
        build_alignment_store(
            scratch / "made" / "out", expand_dna([str(scratch / "bad.maf")])
        )
    assert "\n" not in str(found.value)
    assert all(word in str(found.value) for word in ["bad.maf", *words]), str(
        found.value
    )
    assert [path.name for path in (scratch / "made").iterdir()] in (
        [],
        [".building_out.lock"],
    )


ODD_ROWS = {
    "size": ("0 6 - 99 AC-TTGA", "0 5 - 99 AC-TTGA", "5 bases, its size, got 6"),
    "strand": ("0 6 - 99 AC-TTGA", "0 6 ? 99 AC-TTGA", "strand + or -"),
    "extent": ("0 6 - 99 AC-TTGA", "0 6 - 5 AC-TTGA", "within 5 bases, got - 0 to 6"),
    "width": ("0 6 - 99 AC-TTGA", "0 5 - 99 AC-TTG", "7 columns, as its block has"),
    "letter": ("0 6 - 99 AC-TTGA", "0 6 - 99 AC-TTZA", "'Z' at column 6"),
    "fields": ("0 6 - 99 AC-TTGA", "0 6 -", "got 5 fields"),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_odd_rows_of_other_species_are_left_out_and_counted(scratch, name):
    right, odd, reason = ODD_ROWS[name]
    path = write(scratch / "a.maf", MAF.replace(right, odd))
    store = open_alignment([path])
    assert columns(store, "c1")["mus"] == "-" * 12
    assert columns(store, "c1")["rat"] == "--A--TT-G-A-"
    assert columns(store, "c2")["mus"] == "GTC-"
    assert store.meta["odd_rows"] == 1
    assert store.odd_rows.startswith("odd rows left out: 1, the first: ")
    assert "line 5" in store.odd_rows
    assert reason in store.odd_rows
    unused = build_alignment_store(scratch / "rat", [path], species=["rat"])
    assert unused.odd_rows == ""


def test_a_second_row_counts_where_the_first_is_odd(scratch):
    path = write(scratch / "a.maf", MAF.replace("rat.1  9 2 + 50", "rat.1  9 2 ? 50"))
    store = open_alignment([path])
    assert columns(store, "c1")["rat"] == "--A--TT-CCC-"  # rat.2, of the other strand
    assert store.meta["odd_rows"] == 1


@pytest.mark.parametrize("letter", ["*", "?"])
def test_marks_in_aligned_fasta_are_missing_data(scratch, letter):
    text = ">man\nA*GTACGT\n>ape\n**GTAC--\n".replace("*", letter)
    store = open_alignment([write(scratch / "a.fa", text)])
    assert columns(store, "a") == {"man": "ANGTACGT", "ape": "NNGTAC--"}
    assert store.meta["aligned"] == {"man": 7, "ape": 4}


def test_a_cut_gzip_and_a_missing_reference(scratch):
    path = scratch / "a.maf.gz"
    path.write_bytes(gzip.compress(MAF.encode(), mtime=0)[:-15])
    with pytest.raises(InputError, match="complete gzip"):
        build_alignment_store(scratch / "out", [path])
    with pytest.raises(InputError, match="reference 'rex' .*Did you mean ref"):
        build_alignment_store(scratch / "out", [write(scratch / "a.maf", MAF)], "rex")
    with pytest.raises(InputError, match="reference 'c', got no such record"):
        build_alignment_store(
            scratch / "out", [write(scratch / "a.fa", ">a\nA\n>b\nC\n")], "c"
        )
    assert not (scratch / "out").exists()


def test_a_store_is_of_its_files(scratch):
    path = write(scratch / "a.maf", MAF)
    store = build_alignment_store(scratch / "out", [path])
    assert build_alignment_store(scratch / "out", [path]).meta == store.meta
    with pytest.raises(InputError, match="another alignment"):
        build_alignment_store(scratch / "out", [path], "rat")
    assert open_alignment([scratch / "out"]).fingerprint == store.fingerprint
    assert open_alignment([path]).place.is_relative_to(scratch / "cache")


def test_another_kind_of_store_is_named(scratch):
    genome = open_genome([write(scratch / "g.fa", ">c1\nACGT\n")]).place
    alignment = open_alignment([write(scratch / "a.maf", MAF)]).place
    with pytest.raises(
        InputError,
        match=r"must be an alignment's store, got a genome's .*without data.alignment",
    ):
        open_alignment([genome])
    with pytest.raises(
        InputError,
        match="must be a genome's store, got an alignment's .*Its genome is .*/reference;",
    ):
        open_genome([alignment])
    assert (
        open_genome([alignment / "reference"]).contigs
        == open_alignment([alignment]).contigs
    )
    assert open_alignment([alignment]).share == 12 / 16


@pytest.mark.parametrize(
    "damage",
    ["meta.json", "columns.bin", "covered.bin", "reference/bases.bin", "format"],
)
def test_damaged_stores_are_refused(scratch, damage):
    place = build_alignment_store(
        scratch / "out", [write(scratch / "a.maf", MAF)]
    ).place
    if damage == "format":
        (place / "meta.json").write_text(
            json.dumps(open_alignment_store(place).meta | {"format": "x"})
        )
    else:
        (place / damage).write_bytes(b"x")
    with pytest.raises(InputError, match=r"[Bb]uild"):
        open_alignment_store(place)


def test_windows_bring_other_species_along(scratch):
    path, wanted, _ = random_maf(
        scratch, np.random.default_rng(3), lengths=(400, 300), blocks=60, shuffled=False
    )
    store = open_alignment([path], "ref")
    windows = Windows(
        store.reference,
        10,
        stride=3,
        least_known=0.0,
        alignment=store,
        least_aligned=0.5,
    )
    rows = torch.arange(len(windows))
    batch = windows.load(rows, rows, 0)
    assert batch["is_reverse"].any()
    assert not batch["is_reverse"].all()
    numbers, starts = windows.places(rows.numpy())
    species = ["ref", "s0", "s1", "s2"]
    for row, (number, start) in enumerate(zip(numbers, starts, strict=True)):
        truth = wanted[store.contigs[number].name][start : start + 10][
            :, [species.index(n) for n in store.species]
        ]
        if batch["is_reverse"][row]:
            truth = reverse_complement(truth.astype(np.uint8), axis=0)
        assert batch["bases"][row].tolist() == truth[:, 0].tolist()
        assert (batch["others"][row].numpy() == truth[:, 1:]).all()
    per_contig = {c.name: (wanted[c.name][:, 0] != N) for c in store.contigs}
    enough = sum(
        per_contig[name][start : start + 10].sum() >= 5
        for name in per_contig
        for start in range(0, len(per_contig[name]) - 9, 3)
    )
    assert len(windows) == enough
    padded = store.take_padded(np.array([1, 0]), np.array([-3, 395]), 10)
    name = store.contigs[1].name
    assert (padded[0, 3:] == store.fetch(name, 0, 7)).all()
    assert (padded[1, 5:, 0] == N).all()
    assert (padded[0, :3, 1:] == GAP).all()


def test_windows_of_another_genome_are_refused(scratch):
    store = open_alignment([write(scratch / "a.maf", MAF)])
    other = open_genome([write(scratch / "g.fa", ">c1\nACGT\n>c2\nACGT\n>c3\nACGT\n")])
    with pytest.raises(
        InputError, match="c1 must have 4 bases, as .*g.fa says, got 12"
    ):
        Windows(other, 4, alignment=store)
    with pytest.raises(InputError, match="contig 'c3'"):
        Windows(other, 4, alignment=store, include=["c3"])
    assert len(Windows(other, 4, alignment=store, include=["c2"])) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_real_alignments_are_as_another_reader_has_them():
    folder = SHARED / "dna" / "chr22_maf"
    (fasta,), (maf,) = folder.glob("*.fa.gz"), folder.glob("*.maf.gz")
    store = open_alignment([maf], "hg17", open_genome([fasta]))
    assert len(store.species) == 5
    with gzip.open(maf, "rt") as file:
        blocks = [
            [line.split() for line in block.splitlines() if line.startswith("s ")]
            for block in file.read().split("\na ")[1:]
        ]
    spans = [(int(rows[0][2]), int(rows[0][2]) + int(rows[0][3])) for rows in blocks]
    times = np.zeros(1_000_001, dtype=int)
    for start, stop in spans:
        times[start:stop] += 1
    for rows, (start, stop) in zip(blocks, spans, strict=True):
        once = times[start:stop] == 1  # where two blocks lie, the first one counts
        found = store.fetch("chr22", start, stop)[once]
        is_base = np.array(list(rows[0][6])) != "-"
        letters = {
            row[1].split(".")[0]: np.array(list(row[6].upper()))[is_base][once]
            for row in rows
        }
        for name, column in zip(store.species, found.T, strict=True):
            assert decode(column) == "".join(letters.get(name, ["-"] * len(column)))
    assert store.meta["covered"] + store.meta["covered_twice"] == 219_293
    assert (store.reference.bases & 7 == open_genome([fasta]).bases & 7).all()
    brca = open_alignment([Path(next((SHARED / "dna" / "brca1_msa_sge").glob("*.fa")))])
    assert (brca.contigs[0].length, len(brca.species)) == (2280, 20)


@pytest.mark.parametrize("damage", ["meta", "reference", "format"])
def test_a_damaged_alignment_in_the_cache_is_built_again(scratch, damage):
    write(scratch / "a.maf", MAF)
    store = open_alignment([scratch / "a.maf"])
    first = dict(store.meta)
    meta = store.place / "meta.json"
    if damage == "format":
        meta.write_text(json.dumps(first | {"format": "older"}))
    else:
        files = {"meta": meta, "reference": store.place / "reference" / "bases.bin"}
        files[damage].write_bytes(files[damage].read_bytes()[:-3])
    again = open_alignment([scratch / "a.maf"])
    assert again.meta == first
    assert len(again.reference.contigs) == len(first["contigs"])


def far_block(position):
    """A block of 20 bases of 10 species on a contig of 50 Mb."""
    rows = [f"s ref.c1 {position} 20 + 50000000 ACGTACGTACGTACGTACGT"]
    rows += [
        f"s s{n}.x 0 20 + 5000 ACGTACGTACGTACGTACG{'ACGT'[n % 4]}" for n in range(9)
    ]
    return "\n".join(["", "a", *rows, ""])


def test_only_covered_bases_are_stored(scratch, capsys):
    text = "##maf version=1\n" + far_block(40_000_000) + far_block(7)
    store = open_alignment([write(scratch / "a.maf", text)])
    size = sum(path.stat().st_size for path in store.place.rglob("*") if path.is_file())
    assert size < 5_000
    assert "10 species, blocks cover 40 of 50,000,000 bases" in capsys.readouterr().err
    letters = "ACGTACGTACGTACGTACG"
    assert decode(store.reference.fetch("c1", 5, 29)) == f"NN{letters}TNN"
    assert decode(store.fetch("c1", 5, 29)[:, 1]) == f"--{letters}A--"
    assert decode(store.fetch("c1", 39_999_999, 40_000_021)[:, 2]) == f"-{letters}C-"
    assert store.reference.size == 50_000_000
    windows = Windows(store.reference, 10, stride=5, alignment=store, least_aligned=0.5)
    assert windows.name(0) == "c1:6-15"
    batch = windows.load(torch.tensor([0]), None, 0)
    assert decode(batch["bases"][0].numpy().astype(np.uint8)) == "NNACGTACGT"
    assert decode(batch["others"][0, :, 0].numpy()) == "--ACGTACGT"


def test_a_covered_genome_has_the_fingerprint_of_its_bases(scratch):
    store = open_alignment([write(scratch / "a.maf", MAF)])
    text = ">c1\nNNACgTNAGTTN\n>c2\nGGCN\n"
    dense = open_genome([write(scratch / "g.fa", text)])
    sparse = store.reference
    assert sparse.fingerprint == dense.fingerprint
    assert sparse.meta["counts"] == dense.meta["counts"]
    assert sparse.unknown.tolist() == dense.unknown.tolist()
    starts = np.arange(13)
    assert np.array_equal(sparse.take(starts, 4), dense.take(starts, 4))
    numbers = np.repeat([0, 1], 16)
    places = np.tile(np.arange(-3, 13), 2)
    assert np.array_equal(
        sparse.take_padded(numbers, places, 5), dense.take_padded(numbers, places, 5)
    )


def test_a_store_that_does_not_fit_the_disk_is_refused(scratch, monkeypatch):
    path = write(scratch / "a.maf", MAF)
    usage = SimpleNamespace(free=50)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        InputError,
        match=r"must have [0-9.]+B of free disk space, got 50.0B. .*--species",
    ):
        build_alignment_store(scratch / "out", [path])
    assert [path.name for path in scratch.iterdir() if "out" in path.name] in (
        [],
        [".building_out.lock"],
    )


def test_a_store_of_the_dense_format_names_its_remedy(scratch):
    place = open_alignment([write(scratch / "a.maf", MAF)]).place
    meta = json.loads((place / "meta.json").read_text())
    old = meta | {"format": "r2mae alignment store 1"}
    (place / "meta.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match="Delete the folder and build it again: r2mae"):
        open_alignment([place])
