"""Labelled sequences: tables and FASTA, padding, duplicates of the test split, bad input in one line."""

import gzip

import numpy as np
import pytest
import torch

from r2mae.errors import InputError
from r2mae.modalities.dna.schema import DnaSequenceData
from r2mae.modalities.dna.sequences.labelled import open_given_sequences, open_sequences
from r2mae.modalities.dna.tokens import DnaTokens, find_codec
from tests.conftest import SHARED

TRAIN = "sequence,label\nACGTA,1\nacgn,0\nTTTTT,1\nGGGGG,0\n"
TEST = "sequence,label\nTTTTT,0\nCCCCC,1\n"


@pytest.fixture
def tables(scratch):
    (scratch / "train.csv").write_text(TRAIN)
    (scratch / "test.csv").write_text(TEST)
    return scratch


def section(**more):
    return DnaSequenceData(
        card="sequence_files", root=".", label_column="label", **more
    )


def test_training_leaves_out_what_the_test_split_holds(tables):
    train, test = open_sequences(section(), "train"), open_sequences(section(), "test")
    assert (len(train), train.left_out, len(test), test.left_out) == (3, 1, 2, 0)
    assert train.labels.tolist() == [1, 0, 0]
    assert train.class_names == {0: "0", 1: "1"}


def test_shorter_sequences_are_padded_and_say_so(tables):
    train = open_sequences(section(), "train")
    batch = train.load(torch.tensor([0, 1]), None, 0)
    assert batch["bases"].tolist() == [[0, 1, 2, 3, 0], [0, 1, 2, 4, 6]]
    assert batch["lengths"].tolist() == [5, 4]
    test = open_sequences(section(), "test")
    assert "lengths" not in test.load(torch.tensor([0]), None, 0)
    long = (tables / "train.csv").read_text() + "A" * 4 + "C" * 8 + "G" * 4 + ",1\n"
    (tables / "train.csv").write_text(long)
    cut = open_sequences(section(length=8), "train")
    assert cut.load(torch.tensor([3]), None, 0)["bases"].tolist() == [[1] * 8]
    assert cut.fingerprint != train.fingerprint
    assert (cut.note, train.note) == (
        "both ends of 1 sequences longer than 8 bases",
        "",
    )
    assert train.name(1).endswith("train.csv, row 1")


def test_fasta_headers_end_in_the_class(tables):
    (tables / "train.csv").unlink()
    with gzip.open("train.fa.gz", "wt") as file:
        file.write(">a enhancer\nACG\nTA\n>b other\nGG\n")
    train = open_sequences(section(), "train")
    assert [train.class_names[label] for label in train.labels] == ["enhancer", "other"]
    assert train.load(torch.tensor([0]), None, 0)["bases"].tolist() == [[0, 1, 2, 3, 0]]
    assert [train.name(0), train.name(1)] == ["a", "b"]
    given = open_given_sequences(section(), ["train.fa.gz"])
    assert given.labels is None
    assert len(given) == 2


REFUSED = [
    (
        "sequence,label\nACGX,1\n",
        "row 0 of sequence must hold IUPAC letters, got 'X' at base 4.",
    ),
    ("seq,label\nACG,1\n", "must have the column 'sequence', got seq, label."),
    ("sequence,label\n,1\n", "row 0 of sequence must be a sequence, got None."),
    (
        "sequence,label\nTTTTT,1\n",
        "must hold sequences that the test split does not, got none.",
    ),
]


@pytest.mark.parametrize(
    ("text", "words"), REFUSED, ids=[words[:30] for _, words in REFUSED]
)
def test_bad_tables_are_one_line(tables, text, words):
    (tables / "train.csv").write_text(text)
    with pytest.raises(InputError) as found:
        open_sequences(section(), "train")
    assert words in str(found.value)


def test_a_folder_without_tables_is_refused(scratch):
    with pytest.raises(
        InputError, match=r"must hold train\.\*, got no table or FASTA of that name"
    ):
        open_sequences(section(), "train")


@pytest.mark.skipif(
    not (SHARED / "dna" / "gue").is_dir(), reason="needs ../shared/data/dna/gue"
)
@pytest.mark.parametrize(
    ("name", "left_out"), [("prom_core_all", 42), ("prom_300_tata", 6), ("tf_0", 0)]
)
def test_gue_duplicates_are_those_that_were_counted_by_hand(name, left_out, scratch):
    data = DnaSequenceData(card="gue", root=str(SHARED / "dna" / "gue" / name))
    train, test = open_sequences(data, "train"), open_sequences(data, "test")
    assert len(np.unique(test.labels)) == 2
    assert (
        train.left_out == left_out
    )  # 43 test rows of prom_core_all, two of which are one
    held = {
        row.tobytes()
        for row in test.load(torch.arange(len(test)), None, 0)["bases"].numpy()
    }
    assert not any(
        row.tobytes() in held
        for row in train.load(torch.arange(len(train)), None, 0)["bases"].numpy()
    )


def test_both_strands_by_position_and_side_by_side_where_nothing_is_drawn(tables):
    (tables / "train.csv").write_text(TRAIN.replace("GGGGG", "GGGGC"))
    train = open_sequences(section(both_strands=True), "train")
    rows = torch.arange(200) % len(train)
    as_they_stand = open_sequences(section(), "train").load(rows, rows, 0)
    drawn, again = (train.load(rows, torch.arange(200), 0) for _ in range(2))
    assert "other_strand" not in drawn
    assert torch.equal(drawn["bases"], again["bases"])
    turned = (drawn["bases"] != as_they_stand["bases"]).any(dim=1)
    assert 60 < turned.sum() < 140
    plain = train.load(rows[:3], None, 0)
    assert torch.equal(plain["bases"], as_they_stand["bases"][:3])
    # ACGTA, ACGN and GGGGC: the shorter one keeps its padding behind it
    assert plain["other_strand"]["bases"].tolist() == [
        [3, 0, 1, 2, 3],
        [4, 1, 2, 3, 6],
        [2, 1, 1, 1, 1],
    ]
    assert plain["other_strand"]["lengths"].tolist() == [5, 4, 5]
    other = train.load(rows, None, 0)["other_strand"]["bases"]
    assert torch.equal(drawn["bases"][turned], other[turned])


def test_both_strands_are_cut_to_the_same_middle_and_held_apart(tables):
    """An odd number of bases too many; and training leaves out what the test split reads the other way."""
    forward, turned = "ACCGTTAGCAA", "TTGCTAACGGT"
    (tables / "train.csv").write_text(
        f"sequence,label\n{forward},1\nCC{turned[1:-1]}CC,0\nGGGGGGGGGG,1\n"
    )
    (tables / "test.csv").write_text(f"sequence,label\n{forward},1\nACGTACG,0\n")
    (tables / "given.csv").write_text(f"sequence\n{forward}\n{turned}\n")
    batch = open_given_sequences(
        section(length=8, both_strands=True), ["given.csv"]
    ).load(torch.tensor([0, 1]), None, 0)
    assert torch.equal(batch["bases"][0], batch["other_strand"]["bases"][1])
    assert torch.equal(batch["bases"][1], batch["other_strand"]["bases"][0])
    assert open_sequences(section(length=8, both_strands=True), "train").left_out == 2
    assert open_sequences(section(length=8), "train").left_out == 1


def test_sequences_shorter_than_a_token_are_refused(tables):
    with pytest.raises(
        InputError,
        match=r"test\.csv must hold sequences of at least 6 bases, one token, got 5",
    ):
        DnaTokens(open_sequences(section(), "test"), find_codec(None, 6))


def test_files_of_another_kind_are_refused(tables):
    (tables / "s.doc").write_text("ACGT\n")
    with pytest.raises(
        InputError,
        match=r"s\.doc must be \.csv, \.tsv, \.jsonl, \.parquet, \.txt or FASTA, got '\.doc'",
    ):
        open_given_sequences(section(), ["s.doc"])
    (tables / "empty.csv").write_text("sequence,label\n")
    with pytest.raises(InputError, match=r"empty\.csv must hold rows, got none"):
        open_given_sequences(section(), ["empty.csv"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_fasta_of_every_line_end_has_the_same_records(tables, end):
    lines = [">a x one", "ACGT", "ACG", ">b two", "TTGCA", ""]
    with open("lines.fa", "w", newline="") as file:
        file.write(end.join(lines))
    source = open_given_sequences(section(), ["lines.fa"])
    assert len(source) == 2
    batch = source.load(torch.arange(2), None, 0)
    assert batch["lengths"].tolist() == [7, 5]
    assert [source.name(row).split()[-1] for row in range(2)] == ["a", "b"]


def test_records_without_bases_are_left_out_with_their_labels(tables):
    (tables / "train.csv").unlink()
    (tables / "train.fa").write_text(">a 0\nACGTA\n>none 1\n>b 1\nGG\n>last 1")
    train = open_sequences(section(), "train")
    assert [train.name(0), train.name(1)] == ["a", "b"]
    assert [train.class_names[label] for label in train.labels] == ["0", "1"]
    assert train.note == "2 records without bases"


def test_lines_of_sequences_have_no_labels(tables):
    (tables / "mine.txt").write_text("ACGT\n\nggn\n")
    source = open_given_sequences(section(), ["mine.txt"])
    assert source.load(torch.tensor([1]), None, 0)["bases"].tolist() == [[2, 2, 4]]
    assert source.name(1) == "mine.txt, row 1"


def test_several_files_of_sequences_are_refused_with_what_to_name(scratch):
    for name in ("a.csv", "b.csv"):
        (scratch / name).write_text("sequence\nACGT\n")
    with pytest.raises(InputError, match=r"got 2 in \*\.csv\. Name one of them"):
        open_given_sequences(None, ["*.csv"])
