"""Values a base from bedGraph, wiggle and tables: the same however they are written."""

import gzip
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.modalities.dna.genome import tracks
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.tracks import open_track
from r2mae.modalities.dna.genome.windows import Windows
from tests.conftest import SHARED

pytestmark = pytest.mark.usefixtures("scratch")
NAN = float("nan")
WANTED = {"c1": [NAN, 0.5, -1.25, 2.0, NAN, NAN, 7.0, 7.0], "c2": [3.0, NAN, 4.0, NAN]}
FORMS = {
    "fixed.wig": "track type=wiggle_0\nfixedStep chrom=c1 start=2 step=1\n0.5\n-1.25\n2\n"
    "fixedStep chrom=c1 start=7 step=5 span=2\n7\nfixedStep chrom=c2 start=1 step=2\n3\n4e0\n",
    "variable.wig": "variableStep chrom=c1\n2 0.5\n3 -1.25\n4 2\nvariableStep chrom=c1 span=2\n7 7\n"
    "variableStep chrom=c2\n1 3\n3 4\n",
    "a.bedGraph": "# comment\nc1\t1\t2\t0.5\nc1\t2\t3\t-1.25\nc1\t3\t4\t2.0\nc1\t6\t8\t7\nc2\t0\t1\t3\nc2\t2\t3\t4\n",
    "a.tsv": "chrom\tpos\tscore\nc1\t2\t0.5\nc2\t1\t3\nc1\t3\t-1.25\nc1\t4\t2\nc1\t7\t7\nc2\t3\t4\nc1\t8\t7\n",
    "plain.tsv": "c1\t2\t0.5\nc2\t1\t3\nc1\t3\t-1.25\nc1\t4\t2\nc1\t7\t7\nc2\t3\t4\nc1\t8\t7\n",
}


@pytest.fixture
def genome(scratch):
    path = scratch / "g.fa"
    path.write_text(">c1\nACGTACGT\n>c2\nACGT\n")
    return open_genome([path])


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("together", [1, 2, 1 << 19])
@pytest.mark.parametrize("packed", [False, True])
def test_forms_agree(scratch, genome, monkeypatch, name, together, packed):
    monkeypatch.setattr(tracks, "_CHUNK", together)
    path = scratch / (name + ".gz" * packed)
    path.write_bytes(
        gzip.compress(FORMS[name].encode()) if packed else FORMS[name].encode()
    )
    track = open_track(path, genome)
    for contig, wanted in WANTED.items():
        found = track.fetch(genome, contig, 0, len(wanted))
        assert np.array_equal(found, np.array(wanted, dtype=np.float32), equal_nan=True)
    assert track.meta["values"] == 7
    assert open_track(path, genome).place == track.place


def test_names_of_contigs(scratch, genome):
    path = scratch / "a.bedGraph"
    path.write_text("chr1\t0\t1\t5\nother\t0\t1\t5\nc2\t0\t1\t6\n")
    track = open_track(path, genome, {"chr1": "c1"})
    assert track.values[0] == 5
    assert track.meta["other_contigs"] == 1
    assert np.isnan(open_track(path, genome).values[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c1\t0\t1\t0.5\nc1\t1\t2\tx\n", ["line 2", "4 columns of bedGraph", "x"]),
        ("c1\t0\t1\t0.5\nc1\t1\t2\n", ["line 2", "4 columns of bedGraph"]),
        ("c1\t0\t1\t0.5\nc1\t3\t2\t1\n", ["line 2", "end after it starts"]),
        ("c1\t0\t9\t0.5\n", ["c1", "within 8 bases", "got 9", "line 1"]),
        ("fixedStep chrom=c1 start=0 step=1\n1\n", ["line 1", "numbers from 1"]),
        ("fixedStep chrom=c1 start=1 step=0\n1\n2\n", ["line 1", "numbers from 1"]),
        (
            "fixedStep chrom=c1 start=1 step=1 span=2\n1\n2\n",
            ["line 1", "a span of at most its step"],
        ),
        (
            "fixedStep chrom=c1 start=1 step=1\n1 2\n3 4\n \n\t\n",
            ["line 2", "1 columns of fixedStep"],
        ),
        ("c1\t0\t1\nc1\t1\t2\t3\t4\n", ["columns of table"]),
        ("c1\t0\t1\tinf\n", ["line 1", "inf"]),
        ("c1\t0\t1\tx\n", ["line 1", "x"]),
        ("c1\t0\t1000000000000000\t1\n", ["within 8 bases"]),
        ("fixedStep chrom=c1 step=1\n1\n", ["line 1", "chrom and start"]),
        ("fixedStep chrom=c1 start=x step=1\n1\n", ["line 1", "chrom and start"]),
        ("variableStep chrom=c1\n1 2\n1\n", ["line 3", "2 columns of variableStep"]),
        (
            "c1\t0\t1\t1\nc2\t0\t1\t1\nc2\t1.5\t3\t1\n",
            ["line 3", "4 columns of bedGraph"],
        ),
        (
            "fixedStep chrom=c1 start=1 step=1\n1\n2 3\n4\n",
            ["line 3", "1 columns of fixedStep"],
        ),
        ("chr1\t0\t1\t0.5\n", ["contigs of", "'chr1'", "Did you mean c1", "aliases"]),
        ("", ["no value"]),
        ("hello\n", ["line 1", "wiggle, bedGraph", "1 columns"]),
    ],
    ids=range(20),
)
def test_bad_tracks_are_one_line_and_leave_nothing(scratch, genome, text, words):
    (scratch / "bad.wig").write_text(text)
    with pytest.raises(InputError) as found:
        open_track(scratch / "bad.wig", genome)
    assert all(word in str(found.value) for word in ["bad.wig", *words]), str(
        found.value
    )
    assert not [
        path for path in (scratch / "cache").rglob("*track*") if path.suffix != ".lock"
    ]
    with pytest.raises(InputError, match="got no such file"):
        open_track(scratch / "none.wig", genome)


def test_windows_bring_values_along(scratch, genome):
    path = scratch / "a.tsv"
    path.write_text(FORMS["a.tsv"])
    windows = Windows(genome, 4, stride=2, tracks={"phylop": open_track(path, genome)})
    rows = torch.arange(len(windows)).repeat(10)
    batch = windows.load(rows, torch.arange(len(rows)), 0)
    starts = windows.starts(rows.numpy())
    wanted = np.stack(
        [
            np.array(WANTED["c1"] + WANTED["c2"], dtype=np.float32)[start : start + 4]
            for start in starts
        ]
    )
    turn = batch["is_reverse"].numpy()
    assert turn.any()
    wanted[turn] = wanted[turn, ::-1]
    assert np.array_equal(batch["phylop"].numpy(), wanted, equal_nan=True)
    assert windows.fingerprint != Windows(genome, 4, stride=2).fingerprint


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_a_real_track():
    folder = SHARED / "dna" / "human_mito"
    genome = open_genome([folder / "NC_012920.1.fa"])
    track = open_track(
        folder / "chrM.phyloP100way.wigFix.gz", genome, {"chrM": "NC_012920.1"}
    )
    with gzip.open(folder / "chrM.phyloP100way.wigFix.gz", "rt") as file:
        values = [float(line) for line in file if line[0] != "f"]
    assert np.allclose(track.values, np.array(values, dtype=np.float32))


@pytest.mark.parametrize("damage", ["values", "meta", "deleted"])
def test_a_damaged_track_in_the_cache_is_read_again(scratch, genome, damage):
    path = scratch / "a.tsv"
    path.write_text(FORMS["a.tsv"])
    track = open_track(path, genome)
    values = np.array(track.values)
    (file,) = [
        file
        for file in track.place.iterdir()
        if (file.suffix == ".json") == (damage == "meta")
    ]
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3])
    again = open_track(path, genome)
    assert np.array_equal(again.values, values, equal_nan=True)


def test_a_track_that_does_not_fit_the_disk_is_refused(scratch, monkeypatch):
    (scratch / "g.fa").write_text(">c1\nACGT\n")
    (scratch / "t.bedGraph").write_text("c1\t0\t4\t0.5\n")
    genome = open_genome([scratch / "g.fa"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=15))
    with pytest.raises(InputError, match="must have 16.0B of free disk space, got 15"):
        open_track(scratch / "t.bedGraph", genome)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_last_value_with_letters_behind_it_is_refused(scratch, monkeypatch):
    """numpy 2.0 to 2.2 only warns of the letters."""
    (scratch / "g.fa").write_text(">c1\nACGT\n")
    (scratch / "t.bedGraph").write_text("c1\t0\t2\t0.25\nc1\t2\t4\t0.5abc\n")
    genome = open_genome([scratch / "g.fa"])
    values = np.array([0, 2, 0.25, 2, 4, 0.5])
    monkeypatch.setattr(np, "fromstring", lambda *_, **__: values)
    with pytest.raises(InputError, match="line 2 must have 4 columns of bedGraph"):
        open_track(scratch / "t.bedGraph", genome)


def test_contigs_of_a_track_match_without_chr(scratch):
    (scratch / "g.fa").write_text(">1\nACGT\n")
    (scratch / "t.bedGraph").write_text("chr1\t0\t2\t0.25\n")
    genome = open_genome([scratch / "g.fa"])
    track = open_track(scratch / "t.bedGraph", genome)
    assert track.meta["values"] == 2


def test_big_wig_is_read_as_a_bed_graph_is(scratch):
    library = pytest.importorskip("pyBigWig")
    (scratch / "g.fa").write_text(">c1\nACGTACGT\n>c2\nACGT\n")
    genome = open_genome([scratch / "g.fa"])
    file = library.open("t.bw", "w")
    file.addHeader([("chrc1", 8), ("c2", 4), ("other", 9)])
    file.addEntries(["chrc1", "chrc1"], [1, 6], ends=[3, 8], values=[0.5, -2.0])
    file.addEntries(["other"], [0], ends=[9], values=[1.0])
    file.close()
    track = open_track(scratch / "t.bw", genome)
    expected = [NAN, 0.5, 0.5, NAN, NAN, NAN, -2.0, -2.0, NAN, NAN, NAN, NAN]
    assert np.array_equal(track.values, expected, equal_nan=True)
    assert track.meta["other_contigs"] == 1
    (scratch / "bad.bw").write_bytes(b"no bigWig" * 100)
    with pytest.raises(
        InputError, match=r"bad.bw must be a bigWig file, got a damaged"
    ):
        open_track(scratch / "bad.bw", genome)


def test_without_its_library_big_wig_names_the_extra(scratch, monkeypatch):
    (scratch / "g.fa").write_text(">c1\nACGT\n")
    (scratch / "t.bigWig").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    with pytest.raises(InputError, match=r'is not installed. Run: pip install "r2mae'):
        open_track(scratch / "t.bigWig", open_genome([scratch / "g.fa"]))
