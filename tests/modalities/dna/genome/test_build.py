"""FASTA to a genome's store: every base as it stands, whatever it is packed in; bad input in one line."""

import gzip
import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.modalities.dna.genome import files as dna_files
from r2mae.modalities.dna.genome import two_bit as two_bit_files
from r2mae.modalities.dna.genome.bases import (
    COMPLEMENT,
    decode,
    encode,
    reverse_complement,
)
from r2mae.modalities.dna.genome.build import build_genome_store, file_stem, open_genome
from r2mae.modalities.dna.genome.files import expand_dna
from r2mae.modalities.dna.genome.store import open_genome_store
from tests.conftest import SHARED

pytestmark = pytest.mark.usefixtures("scratch")
FASTA = b">one first\nACGT\nacgtNNRy\n\n>two\r\nUUnn\r\n> three\nGATTACA"
PACKED = gzip.compress(FASTA, mtime=0)


def bgzip(data, size=40):
    """Blocks as bgzip writes them, with its empty last one."""
    made = b""
    for part in [*(data[at : at + size] for at in range(0, len(data), size)), b""]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packer.compress(part) + packer.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack(
            "<H", len(body) + 25
        )
        made += head + body + struct.pack("<II", zlib.crc32(part), len(part))
    return made


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bgzip])
@pytest.mark.parametrize("block", [1 << 22, 7, 1])
def test_every_base_is_kept_wherever_blocks_cut(scratch, monkeypatch, pack, block):
    monkeypatch.setattr(dna_files, "BLOCK", block)
    store = build_genome_store(
        scratch / "out", [write(scratch / "a.fa.gz", pack(FASTA))]
    )
    assert [contig[:2] for contig in store.contigs] == [
        ("one", 12),
        ("two", 4),
        ("three", 7),
    ]
    assert decode(store.fetch("one", 0, 12)) == "ACGTacgtNNNn"
    assert decode(store.fetch("two", 0, 4)) == "TTnn"
    assert decode(store.fetch("three", 2, 5)) == "TTA"
    assert store.unknown.tolist() == [[8, 12], [14, 16]]
    assert store.meta["counts"] == {"A": 5, "C": 3, "G": 3, "T": 6, "N": 6}
    assert store.meta["soft_masked"] == 7
    assert (
        store.fingerprint
        == build_genome_store(
            scratch / "plain", [write(scratch / "b.fa", FASTA)]
        ).fingerprint
    )


@pytest.mark.parametrize("block", [1 << 22, 7, 1])
@pytest.mark.parametrize("ends", [b"\r", b"\r\n", b"\r\r\n"])
def test_lines_of_other_systems(scratch, monkeypatch, block, ends):
    monkeypatch.setattr(dna_files, "BLOCK", block)
    wanted = build_genome_store(
        scratch / "unix", [write(scratch / "a.fa", FASTA.replace(b"\r", b""))]
    )
    other = write(scratch / "b.fa", FASTA.replace(b"\r", b"").replace(b"\n", ends))
    assert (
        build_genome_store(scratch / "other", [other]).fingerprint == wanted.fingerprint
    )


def peak(job):
    """Bytes that a job held at most."""
    tracemalloc.start()
    try:
        job()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_genome(scratch, monkeypatch):
    monkeypatch.setattr(dna_files, "BLOCK", 1 << 14)
    peaks = []
    for size in (1, 8):
        lines = "".join(f"{'ACgtN' * 12}\n" for _ in range(2000 * size))
        path = write(
            scratch / f"{size}.fa.gz", gzip.compress(f">a\n{lines}>b\n{lines}".encode())
        )
        peaks.append(
            peak(
                lambda path=path, size=size: build_genome_store(
                    scratch / f"out_{size}", [path]
                )
            )
        )
    assert peaks[1] < peaks[0] * 1.2, peaks


def test_fingerprint_changes_with_a_base_a_mask_and_a_name(scratch):
    words = [
        b">a\nACGT\n",
        b">a\nACGA\n",
        b">a\nACGt\n",
        b">b\nACGT\n",
        b">a\nACG\n>T\nA\n",
    ]
    stores = [
        build_genome_store(scratch / str(n), [write(scratch / f"{n}.fa", w)])
        for n, w in enumerate(words)
    ]
    assert len({store.fingerprint for store in stores}) == len(words)


def test_complements():
    assert decode(reverse_complement(encode("ACgtN-"))) == "-NacGT"
    assert (COMPLEMENT[COMPLEMENT] == np.arange(16)).all()
    with pytest.raises(ValueError, match="'J' at 1"):
        encode("AJ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b">a\nACGT\nAC*T\n", ["record a", "'*'", "base 7"]),
        (b">a\nAC\n>b\nACJT\n", ["record b", "'J'", "base 3"]),
        (b">a\nAC-T\n", ["record a", "'-'", "base 3", "build msa"]),
        (b">a\nAC>b\nAC\n", ["record a", "'>'", "base 3"]),
        (b"ACGT\n", ["begin with '>'", "ACGT"]),
        (b"", ["empty file"]),
        (b"\n\n", ["got no record"]),
        (b">a\n>b\n\n>c", ["must hold sequences", "got no record with bases"]),
        (b">\nACGT\n", ["name", "at the top"]),
        (b">a\nAC\n>a\nAC\n", ["record a", "twice"]),
        (PACKED[:-20], ["complete gzip", "Download it again"]),
        (PACKED[:-8] + b"\0" + PACKED[-7:], ["gzip throughout"]),
        (PACKED + b"trailing", ["gzip throughout"]),
        (bgzip(FASTA)[:-28], ["bgzip", "last block"]),
    ],
    ids=range(14),
)
def test_bad_input_is_one_line_and_leaves_nothing(scratch, data, words):
    write(scratch / "bad.fa", data)
    with pytest.raises(InputError) as found:
        build_genome_store(
            scratch / "made" / "out", expand_dna([str(scratch / "bad.fa")])
        )
    assert "\n" not in str(found.value)
    assert all(word in str(found.value) for word in ["bad.fa", *words])
    left = (
        [path.name for path in (scratch / "made").glob("*")]
        if (scratch / "made").exists()
        else []
    )
    assert left in ([], [".building_out.lock"])


def test_files_that_share_names_need_names_by_file(scratch):
    paths = [
        write(scratch / "x.fa", b">X\nAC\n"),
        write(scratch / "y.fna.gz", gzip.compress(b">X\nGT\n")),
    ]
    with pytest.raises(
        InputError, match=r"y.fna.gz: record X .*x.fa too. .*--name-by-file"
    ):
        build_genome_store(scratch / "out", paths)
    store = build_genome_store(scratch / "out", paths, name_by_file=True)
    assert [contig.name for contig in store.contigs] == ["x:X", "y:X"]
    assert decode(store.fetch("y:X", 0, 2)) == "GT"
    (scratch / "more").mkdir()
    paths.append(write(scratch / "more" / "x.fa", b">X\nAC\n"))
    with pytest.raises(
        InputError,
        match=r"more/x.fa: record x:X .*/x.fa too. .*called apart: rename one",
    ) as found:
        build_genome_store(scratch / "both", paths, name_by_file=True)
    assert "--name-by-file" not in str(found.value)
    assert file_stem(scratch / "a.b.msa.fasta.gz") == "a.b"


def test_a_store_is_of_its_files(scratch):
    path = write(scratch / "a.fa", b">a\nACGT\n")
    store = build_genome_store(scratch / "out", [path])
    assert build_genome_store(scratch / "out", [path]).meta == store.meta
    with pytest.raises(InputError, match="another genome"):
        build_genome_store(scratch / "out", [write(scratch / "b.fa", b">a\nACG\n")])
    (scratch / "full").mkdir()
    (scratch / "full" / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="absent or empty"):
        build_genome_store(scratch / "full", [path])
    assert (scratch / "full" / "mine.txt").read_text() == "kept"


def test_a_stopped_build_leaves_nothing_and_starts_again(scratch):
    path = write(scratch / "a.fa", b">a\nACGT\n")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_genome_store(scratch / "out", [path], stop)
    assert not (scratch / "out").exists()
    (scratch / ".building_out").mkdir()  # what a killed process leaves
    (scratch / ".building_out" / "bases.bin").write_bytes(b"torn")
    assert build_genome_store(scratch / "out", [path]).meta["bases"] == 4
    assert not (scratch / ".building_out").exists()


def test_files_get_a_store_in_the_cache(scratch):
    path = write(scratch / "a.fa", b">a\nACGT\n")
    store = open_genome([path])
    assert store.place.is_relative_to(scratch / "cache")
    assert (
        open_genome([store.place]).fingerprint
        == open_genome([path]).fingerprint
        == store.fingerprint
    )
    write(path, b">a\nACGTA\n")
    assert open_genome([path]).meta["bases"] == 5


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("1", "'chr1'"),
        ("chrX", "'X'"),
        ("MT", "'chrM'"),
        ("chr22", "Did you mean chr2"),
    ],
)
def test_a_missing_contig_gets_a_hint(scratch, name, wanted):
    store = open_genome(
        [write(scratch / "a.fa", b">chr1\nA\n>X\nC\n>chrM\nG\n>chr2\nA\n")]
    )
    with pytest.raises(InputError, match=wanted):
        store.contig(name)


def test_what_is_not_in_a_contig_is_refused_or_padded(scratch):
    store = open_genome([write(scratch / "a.fa", b">a\nACGT\n>b\nGGTT\n")])
    for start, stop in ((-1, 2), (0, 5), (3, 2)):
        with pytest.raises(InputError, match="got 4 bases"):
            store.fetch("a", start, stop)
    padded = store.take_padded(np.array([0, 1, 1]), np.array([-2, -1, 3]), 4)
    assert [decode(row) for row in padded] == ["NNAC", "NGGT", "TNNN"]


def test_other_files_are_named(scratch):
    (scratch / "folder").mkdir()
    for name, words in (
        ("folder", "got a folder that is no store. Name the files"),
        ("none.fa", "got none"),
    ):
        with pytest.raises(
            InputError,
            match=f"{name} must be a file, or a glob that matches some, {words}",
        ):
            expand_dna([name])
    with pytest.raises(
        InputError, match=r"begin with '>'.*Alignments are read with data.alignment"
    ):
        open_genome(
            [write(scratch / "a.maf", b"##maf version=1\na\ns a.b 0 1 + 1 A\n")]
        )


@pytest.mark.parametrize("damage", ["meta", "bases", "unknown", "format"])
def test_damaged_stores_are_refused(scratch, damage):
    place = open_genome([write(scratch / "a.fa", b">a\nACGTN\n")]).place
    if damage == "meta":
        (place / "meta.json").write_text("{")
    elif damage == "format":
        (place / "meta.json").write_text(json.dumps({"format": "other", "bases": 5}))
    else:
        (place / f"{damage}.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"[Bb]uild"):
        open_genome_store(place)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_real_genomes_are_as_another_reader_has_them():
    folder = SHARED / "dna" / "euk_slices"
    paths = sorted(folder.glob("*.fa.gz"))
    store = open_genome(paths, name_by_file=True)
    for path in paths:
        with gzip.open(path, "rt") as file:
            records = file.read().split(">")[1:]
        for record in records:
            name, *lines = record.split("\n")
            letters = "".join(lines)
            found = store.fetch(f"{file_stem(path)}:{name.split()[0]}", 0, len(letters))
            assert decode(found) == letters.translate(str.maketrans("KSY", "NNN"))
    assert store.meta["counts"]["N"] == 20_197


def test_rows_of_tables_are_contigs(scratch):
    for folder, text in (
        ("a", "sequence,label\nACgtN,1\nGGG,0\n"),
        ("b", "sequence\nTTTT\n"),
    ):
        (scratch / folder).mkdir()
        (scratch / folder / "train.csv").write_text(text)
    genome = open_genome(expand_dna(["*/train.csv"]))
    assert [contig.name for contig in genome.contigs] == [
        "a/train/0",
        "a/train/1",
        "b/train/0",
    ]
    assert decode(genome.fetch("a/train/0", 0, 5)) == "ACgtN"
    assert decode(genome.fetch("b/train/0", 0, 4)) == "TTTT"
    (scratch / "b" / "train.csv").write_text("seq\nTTTT\n")
    with pytest.raises(InputError, match="must have the column 'sequence', got seq"):
        open_genome(expand_dna(["b/train.csv"]))
    (scratch / "b" / "train.csv").write_text("sequence\nTTTT\nACXT\n")
    with pytest.raises(
        InputError, match="row 1 of sequence must hold IUPAC letters, got 'X' at base 3"
    ):
        open_genome(expand_dna(["b/train.csv"]))


@pytest.mark.parametrize("damage", ["meta", "bases", "format"])
def test_a_damaged_genome_in_the_cache_is_built_again(scratch, damage):
    path = write(scratch / "a.fa", b">a\nACGTN\n")
    store = open_genome([path])
    meta = store.place / "meta.json"
    if damage == "format":
        meta.write_text(json.dumps(store.meta | {"format": "older"}))
    else:
        file = meta if damage == "meta" else store.place / "bases.bin"
        file.write_bytes(file.read_bytes()[:-3])
    assert decode(open_genome([path]).fetch("a", 0, 5)) == "ACGTN"


def test_records_without_bases_are_left_out_and_counted(scratch):
    text = ">empty\n>a\nACGT\n>b\n\n>c\nGG\n>last"
    store = open_genome([write(scratch / "a.fa", text.encode())])
    assert [contig.name for contig in store.contigs] == ["a", "c"]
    assert store.meta["empty_records"] == 3
    plain = open_genome([write(scratch / "b.fa", b">a\nACGT\n>c\nGG\n")])
    assert store.fingerprint == plain.fingerprint


def test_lines_of_sequences_are_contigs(scratch):
    store = open_genome([write(scratch / "reads.txt", b"ACGTN\r\n\nacg\n")])
    names = [f"{scratch.name}/reads/0", f"{scratch.name}/reads/1"]
    assert [contig.name for contig in store.contigs] == names
    assert decode(store.fetch(names[1], 0, 3)) == "acg"
    fasta = open_genome([write(scratch / "fasta.txt", b">c1\nACGT\n")])
    assert fasta.contigs[0].name == "c1"


def two_bit(records, order):
    """A 2bit file of {name: letters}; lower case is masked."""
    head = struct.pack(f"{order}4I", 0x1A412743, 0, len(records), 0)
    place = 16 + sum(5 + len(name) for name in records)
    index, bodies = b"", b""
    for name, letters in records.items():
        index += bytes([len(name)]) + name.encode()
        index += struct.pack(f"{order}I", place + len(bodies))
        bodies += struct.pack(f"{order}I", len(letters))
        for is_run in (
            [letter in "Nn" for letter in letters],
            [letter.islower() for letter in letters],
        ):
            edges = np.flatnonzero(np.diff(is_run, prepend=False, append=False))
            starts, stops = edges[::2], edges[1::2]
            numbers = [len(starts), *starts, *(stops - starts)]
            bodies += struct.pack(f"{order}{len(numbers)}I", *numbers)
        bodies += bytes(4)
        codes = ["TCAG".find(letter.upper()) % 4 for letter in letters]
        codes += [0] * (-len(codes) % 4)
        for four in np.array(codes).reshape(-1, 4):
            bodies += bytes([int(four @ [64, 16, 4, 1])])
    return head + index + bodies


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("block", [8, 1 << 22])
def test_2bit_files_are_read(scratch, monkeypatch, order, block):
    monkeypatch.setattr(two_bit_files, "BLOCK", block)
    draw = np.random.default_rng(0)
    long = "".join(draw.choice(list("ACGTacgt"), 45))
    records = {"c1": "NNacGTNACGTnn", "c2": long, "c3": "A"}
    store = open_genome([write(scratch / "g.2bit", two_bit(records, order))])
    for name, letters in records.items():
        assert decode(store.fetch(name, 0, len(letters))) == letters
    text = "".join(f">{name}\n{letters}\n" for name, letters in records.items())
    fasta = open_genome([write(scratch / "g.fa", text.encode())])
    assert store.fingerprint == fasta.fingerprint
    for damaged in (
        two_bit(records, order)[:-3],
        two_bit(records, order)[:30],
        b"ACGT",
    ):
        with pytest.raises(InputError, match="bad.2bit must be a complete 2bit file"):
            open_genome([write(scratch / "bad.2bit", damaged)])
