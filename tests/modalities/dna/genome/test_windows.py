"""Windows: which there are, what they hold, and on which strand, against plain loops."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from r2mae.data.source import StreamDataset, hold_out
from r2mae.data.stream import Stream
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import GAP, decode, encode, reverse_complement
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.genome.interval_sets import (
    intersect,
    invert,
    merge,
    overlap,
)
from r2mae.modalities.dna.genome.intervals import parse_intervals, read_regions
from r2mae.modalities.dna.genome.windows import Windows
from r2mae.modalities.dna.schema import DnaData
from r2mae.modalities.dna.splits import open_windows

pytestmark = pytest.mark.usefixtures("scratch")


def make_genome(folder, sizes, *, unknown=0.1, seed=0):
    """A genome of random letters in which runs of Ns and of lower case lie."""
    draw = np.random.default_rng(seed)
    records = {}
    for number, size in enumerate(sizes):
        letters = draw.choice(list("ACGTacgt"), size)
        for start in draw.integers(0, size, round(unknown * size / 5)):
            letters[start : start + draw.integers(1, 10)] = "N"
        records[f"c{number}"] = "".join(letters)
    path = folder / "genome.fa"
    path.write_text(
        "".join(f">{name}\n{letters}\n" for name, letters in records.items())
    )
    return open_genome([path]), records


def all_windows(windows):
    """(contig, start) of every window."""
    numbers, starts = windows.places(np.arange(len(windows)))
    return list(
        zip(
            [windows.genome.contigs[n].name for n in numbers],
            starts.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
@pytest.mark.parametrize("least_known", [0.0, 0.6, 1.0])
def test_windows_are_those_of_a_plain_loop(scratch, monkeypatch, stride, least_known):
    monkeypatch.setattr("r2mae.modalities.dna.genome.window_runs._CHUNK", 16)
    genome, records = make_genome(scratch, [100, 7, 8, 61])
    windows = Windows(genome, 8, stride=stride, least_known=least_known)
    wanted = [
        (name, start)
        for name, letters in records.items()
        for start in range(0, len(letters) - 7, stride)
        if 8 - letters[start : start + 8].count("N") >= least_known * 8
    ]
    assert all_windows(windows) == wanted
    assert windows.too_short == 1
    in_all = sum(
        len(range(0, len(letters) - 7, stride)) for letters in records.values()
    )
    assert windows.left_out == in_all - len(wanted)
    batch = windows.load(torch.arange(len(windows)), None, 0)
    for row, (name, start) in enumerate(wanted):
        letters = records[name][start : start + 8]
        assert decode(batch["bases"][row].numpy().astype(np.uint8)) == letters.upper()
        assert batch["is_repeat"][row].tolist() == [
            letter.islower() for letter in letters
        ]
    assert not batch["is_reverse"].any()
    assert batch["bases"].dtype == torch.int64


def test_strands_follow_from_the_position(scratch):
    genome, _ = make_genome(scratch, [4000])
    windows = Windows(genome, 16, least_known=0.0)
    rows = torch.arange(len(windows))
    plain = windows.load(rows, None, 0)
    turned = windows.load(rows, rows + 1000, 3)
    share = turned["is_reverse"].float().mean()
    assert 0.35 < share < 0.65
    for row in rows.tolist():
        codes = plain["bases"][row].numpy().astype(np.uint8)
        wanted = reverse_complement(codes) if turned["is_reverse"][row] else codes
        assert turned["bases"][row].tolist() == wanted.tolist()
        repeats = (
            plain["is_repeat"][row].flip(0)
            if turned["is_reverse"][row]
            else plain["is_repeat"][row]
        )
        assert torch.equal(turned["is_repeat"][row], repeats)
    again = windows.load(rows.flip(0), rows.flip(0) + 1000, 3)
    assert torch.equal(again["bases"].flip(0), turned["bases"])
    assert not torch.equal(
        windows.load(rows, rows + 1000, 4)["is_reverse"], turned["is_reverse"]
    )
    assert (
        not Windows(genome, 16, both_strands=False)
        .load(rows[:50], rows[:50], 3)["is_reverse"]
        .any()
    )


def test_what_is_held_out_shares_no_base(scratch):
    genome, _ = make_genome(scratch, [300, 200], unknown=0.0)
    held = ["c0:101-180", "c1"]
    train = Windows(genome, 16, stride=1, exclude=held)
    test = Windows(genome, 16, stride=4, include=held)
    seen = {
        (name, start + place)
        for name, start in all_windows(train)
        for place in range(16)
    }
    kept = {
        (name, start + place)
        for name, start in all_windows(test)
        for place in range(16)
    }
    assert not seen & kept
    assert ("c0", 99) in seen
    assert ("c0", 180) in seen
    assert min(place for name, place in kept if name == "c0") == 100
    assert {name for name, _ in kept} == {"c0", "c1"}
    assert len(train) == (100 - 15) + (120 - 15)
    assert (
        train.fingerprint
        != test.fingerprint
        != Windows(genome, 16, stride=1, include=held).fingerprint
    )


@pytest.mark.parametrize("stride", [3, 5])
@pytest.mark.parametrize("sizes", [[400], [100, 7, 300, 61]])
def test_windows_that_overlap_are_held_out_with_their_neighbours(
    scratch, stride, sizes
):
    windows = Windows(make_genome(scratch, sizes)[0], 8, stride=stride)
    parts = hold_out(windows, 0.1)
    covered = []
    for part in parts:
        places = all_windows(part)
        assert set(places) < set(all_windows(windows))
        covered.append(
            {(name, at) for name, start in places for at in range(start, start + 8)}
        )
    assert not covered[0] & covered[1]
    assert 0.05 < len(parts[1]) / len(windows) < 0.25
    assert len(parts[0]) > 0.5 * len(windows)
    assert len(hold_out(Windows(windows.genome, 8), 0.1)[1]) == round(
        0.1 * len(Windows(windows.genome, 8))
    )


def test_the_fingerprint_is_of_the_intervals_not_of_their_file(scratch):
    genome, _ = make_genome(scratch, [400])
    found = []
    for line in ("c0 0 80", "c0 80 160", "c0 0 80"):
        (scratch / "held.bed").write_text(line + "\n")
        found.append(Windows(genome, 8, exclude=["held.bed"]).fingerprint)
    assert found[0] == found[2] != found[1]
    (scratch / "held.bed").write_text("# nothing\n")
    with pytest.raises(InputError, match="must name an interval"):
        Windows(genome, 8, exclude=["held.bed"])


def test_windows_go_through_the_stream(scratch):
    genome, _ = make_genome(scratch, [2000])
    train, test = hold_out(Windows(genome, 16), 0.2)
    batch = StreamDataset(train, Stream(len(train), seed=1)).__getitems__([5, 6, 900])
    assert batch["bases"].shape == (3, 16)
    assert batch["positions"].tolist() == [5, 6, 900]
    assert len(test) == round(0.2 * (len(train) + len(test)))
    assert re.fullmatch(r"c0:\d+-\d+", train.name(0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 101}, ["data.length", "longest sequence", "100", "got 101"]),
        ({"length": 30, "include": ["c0:1-20"]}, ["longest sequence", "20, got 30"]),
        ({"length": 50, "include": ["c1"]}, ["none of 1", "data.least_known"]),
        ({"length": 10, "include": ["c9"]}, ["contig 'c9'", "Known: c0, c1"]),
        (
            {"length": 10, "include": ["c0:90-101"]},
            ["c0 must hold bases 89 to 101", "got 100"],
        ),
        (
            {"length": 10, "exclude": ["c0:20-10"]},
            ["c0:20-10", "end at or after its start"],
        ),
        (
            {"length": 10, "include": ["c0"], "exclude": ["c0"]},
            ["longest sequence", " 0, got 10"],
        ),
        ({"length": 10, "include": ["none.bed"]}, ["none.bed", "got no such file"]),
    ],
)
def test_impossible_windows_are_one_line(scratch, options, words):
    path = scratch / "genome.fa"
    path.write_text(f">c0\n{'ACGTA' * 20}\n>c1\n{'N' * 50}\n")
    with pytest.raises(InputError) as found:
        Windows(open_genome([path]), **options)
    assert all(word in str(found.value) for word in words), str(found.value)


def test_intervals_in_words_and_in_bed(scratch):
    path = scratch / "genome.fa"
    path.write_text(f">HLA:01\n{'A' * 50}\n>b\n{'C' * 2000}\n")
    genome = open_genome([path])
    assert parse_intervals(["HLA:01", "b:1,001-1,010"], genome).tolist() == [
        [0, 50],
        [1050, 1060],
    ]
    assert parse_intervals(["HLA:01:11-20"], genome).tolist() == [[10, 20]]
    (scratch / "some.bed").write_text(
        "track name=x\nb\t0\t10\tname\nb\t5\t20\n# no\nHLA:01\t1\t2\n"
    )
    assert parse_intervals(["some.bed"], genome).tolist() == [[1, 2], [50, 70]]
    (scratch / "bad.bed").write_text("b\t0\t10\nb\tx\t20\n")
    with pytest.raises(InputError, match=r"bad.bed: line 2 .*contig, start, stop"):
        parse_intervals(["bad.bed"], genome)


def test_columns_of_bed_are_parted_by_tabs_where_there_are_any(scratch):
    """A name with a space, or none, leaves the strand in its column."""
    genome, _ = make_genome(scratch, [400])
    names = ["peak", "my peak", "", "a b c"]
    lines = [f"c0\t{n}\t{n + 9}\t{name}\t0\t-\n" for n, name in enumerate(names)]
    lines += ["track\tname=x\n", "c0 4 13 peak 0 -\r\n", "c0\t5\t14\t- - -\n"]
    for name in ("a.bed", "a.BED", "a.narrowPeak"):
        (scratch / name).write_text("".join(lines))
    Path("b.bed.bgz").write_bytes(gzip.compress("".join(lines).encode()))
    for name in ("a.bed", "a.BED", "a.narrowPeak", "b.bed.bgz"):
        regions = read_regions([name], genome)
        assert [region.start for region in regions] == list(range(6)), name
        assert [region.is_reverse for region in regions] == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.bed", "c0\t20\t10\n", "line 1 must end at or after its start, got 20 to"),
        (
            "r.bed",
            "chrom\tstart\tend\n",
            "line 1 must be contig.* Begin a header with #",
        ),
        ("r.txt", "c0\t10\t20\n", "must be a BED file, which ends in .bed, .narrow"),
    ],
)
def test_a_file_of_regions_that_is_no_bed_is_refused(scratch, name, text, message):
    genome, _ = make_genome(scratch, [400])
    Path(name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_regions([name], genome)


def test_a_bed_file_of_old_macs_is_refused(scratch):
    genome, _ = make_genome(scratch, [400])
    (scratch / "some.bed").write_bytes(b"c0\t0\t10\rc0\t90\t120\r")
    with pytest.raises(
        InputError, match=r"some.bed must have lines that end in .n, got .r alone"
    ):
        parse_intervals(["some.bed"], genome)


@pytest.mark.parametrize(
    ("settings", "split", "words"),
    [
        (
            {"include": ["c0"], "test": ["c0"]},
            "train",
            ["data.test [c0]", "in data.include [c0], got 0 at most"],
        ),
        ({"test": ["c0", "c1"]}, "train", ["data.test [c0, c1]", "genome.fa, got 0"]),
        (
            {"include": ["c0"], "exclude": ["c0"]},
            "train",
            ["data.exclude [c0]", "in data.include [c0], got 0"],
        ),
        (
            {"exclude": ["c1"], "test": ["c0:1-395"]},
            "train",
            ["data.test [c0:1-395]", "genome.fa, got 5 at most"],
        ),
        (
            {"exclude": ["c1"], "test": ["c1"]},
            "test",
            ["data.exclude [c1]", "in data.test [c1], got 0 at most"],
        ),
        (
            {"include": ["c0:1-7"], "test": ["c1"]},
            "train",
            ["data.include [c0:1-7] must hold a window", "got 7"],
        ),
        (
            {"test": ["c0:1-7"]},
            "test",
            ["data.test [c0:1-7] must hold a window", "8 bases, got 7"],
        ),
        (
            {"length": 401},
            "train",
            ["data.length must be at most the longest", "400, got 401"],
        ),
    ],
)
def test_the_key_that_leaves_nothing_is_named(scratch, settings, split, words):
    make_genome(scratch, [400, 300])
    listed = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
    }
    section = DnaData(**{"root": "genome.fa", "length": 8} | listed)
    with pytest.raises(InputError) as found:
        open_windows(section, split)
    assert all(word in str(found.value) for word in words), str(found.value)


def test_interval_arithmetic_is_that_of_sets():
    draw = np.random.default_rng(0)
    for _ in range(50):
        first, second = (
            merge(
                np.sort(draw.integers(0, 60, (draw.integers(0, 6), 2)), axis=1)
                + np.array([0, 1])
            )
            for _ in range(2)
        )
        sets = [
            {place for start, stop in part for place in range(start, stop)}
            for part in (first, second)
        ]
        both = intersect(first, second)
        assert {place for start, stop in both for place in range(start, stop)} == sets[
            0
        ] & sets[1]
        rest = invert(first, 61)
        assert {place for start, stop in rest for place in range(start, stop)} == set(
            range(61)
        ) - sets[0]
        starts = np.arange(-5, 60)
        wanted = [len(sets[0] & set(range(start, start + 7))) for start in starts]
        assert overlap(first, starts, 7).tolist() == wanted


def test_encoding_knows_gaps():
    assert encode("AC-.").tolist() == [0, 1, GAP, GAP]


def test_bases_used_of_bases_present_and_shorter_windows_are_said(scratch):
    """A draft assembly: most of its bases are in contigs shorter than a window."""
    draw = np.random.default_rng(0)
    sizes = [200] * 200 + [1000] * 10
    records = "".join(
        f">c{n}\n{''.join(draw.choice(list('ACGT'), size))}\n"
        for n, size in enumerate(sizes)
    )
    (scratch / "draft.fa").write_text(records)
    genome = open_genome([scratch / "draft.fa"])
    windows = Windows(genome, 256)
    assert (windows.used, windows.present) == (30 * 256, 50_000)
    assert windows.note == (
        "200 sequences shorter than a window, 42,320 of 50,000 bases (85%); "
        "data.length: 64 would leave out 4%"
    )
    assert windows.description.startswith("7,680 of 50,000 are in windows; left out")
    assert Windows(genome, 50).note == ""
    assert Windows(genome, 64, stride=20).used == 200 * 184 + 10 * 984
    assert Windows(genome, 10, stride=100).used == 10 * (200 * 2 + 10 * 10)
