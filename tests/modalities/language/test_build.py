"""Texts to stores: documents and rows, stopped and continued, damaged files in one line."""

import copy
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from r2mae.data.cache import cache_folder
from r2mae.data.text_files import expand_texts, read_pieces
from r2mae.data.text_stream import check_encoding
from r2mae.data.tokenizer import is_continuation, load_tokenizer
from r2mae.data.tokenizer_training import byte_tokenizer, train_tokenizer
from r2mae.errors import InputError
from r2mae.masking.pattern import Role
from r2mae.modalities.language import build as text_build
from r2mae.modalities.language.build import Texts, build_text_store
from r2mae.modalities.language.rows import PackedRows
from r2mae.modalities.language.schema import LanguageData, SentenceData
from r2mae.modalities.language.sentences import open_sentences, open_text_objects
from r2mae.modalities.language.splits import find_store
from r2mae.modalities.language.store import open_text_store
from r2mae.modalities.language.tokenise import tokenise_texts
from r2mae.modalities.language.tokenizer import vocabulary
from r2mae.models.masked_language import TokenMasking
from r2mae.progress import listener
from tests.conftest import make_texts

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.fixture
def tokenizer():
    return train_tokenizer(make_texts(50), "bpe", 300)


def texts_of(path, document="file", **options):
    return "".join(
        piece.text + ("|" if piece.is_end else "")
        for piece in read_pieces([path], "text", document, options)
    )


def test_documents_of_plain_text(scratch):
    path = scratch / "a.txt"
    path.write_text("one\ntwo\n\nthree\n")
    assert texts_of(path) == "one\ntwo\n\nthree\n|"
    assert texts_of(path, "paragraph") == "one\ntwo\n|three\n|"
    assert texts_of(path, "line") == "one|two|three|"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_line_ends_of_windows_are_plain_ones(scratch, encoding):
    path, text = scratch / "a.txt", "one\ntwo \n\nthrée\n"
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert texts_of(path) == f"{text}|"
    assert texts_of(path, "paragraph") == "one\ntwo \n|thrée\n|"
    *_, last = read_pieces([path], "text", "line", {})
    assert last.at == path.stat().st_size  # reading resumes behind both characters


def test_a_long_document_comes_in_pieces(scratch, monkeypatch):
    monkeypatch.setattr("r2mae.data.text_files.MOST_PIECE", 20)
    path = scratch / "a.txt"
    path.write_text("".join(f"line {number}\n" for number in range(50)))
    pieces = list(read_pieces([path], "text", "file", {}))
    assert len(pieces) > 5
    assert [piece.is_start for piece in pieces] == [True, *[False] * (len(pieces) - 1)]
    assert [piece.is_end for piece in pieces] == [*[False] * (len(pieces) - 1), True]
    assert "".join(piece.text for piece in pieces) == path.read_text()
    again = list(read_pieces([path], "text", "file", {}, (0, pieces[2].at)))
    assert again == pieces[3:]


def test_tables(scratch):
    frame = pd.DataFrame({"text": ["first", "second, with a comma"], "n": [1, 2]})
    frame.to_parquet("a.parquet")
    frame.to_csv("a.csv", index=False)
    frame.to_csv("a.tsv", index=False, sep="\t")
    frame.to_json("a.jsonl", orient="records", lines=True)
    for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl"):
        assert texts_of(scratch / name) == "first|second, with a comma|"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", ["empty file"]),
        ("a.txt", b"good\nb\xe9d\n", ["UTF-8", "0xe9", "offset 6"]),
        ("a.csv", b"text\ncaf\xe9\n", ["UTF-8", "0xe9", "offset 8"]),
        ("a.jsonl", b'{"text": "a"\n{', ["readable as json"]),
        ("a.csv", b"other\na\n", ["column 'text'", "got other"]),
        ("a.parquet", b"PAR1 but no", ["readable as parquet"]),
        ("a.docx", b"x", ["known kind", ".docx"]),
        ("a.jsonl", b'{"text": 3}\n', ["must be text", "row 0"]),
        ("a.csv", b"text,text\na,b\n", ["name each column once", "'text' twice"]),
    ],
)
def test_damaged_files_are_one_line(scratch, tokenizer, name, content, words):
    (scratch / name).write_bytes(content)
    with pytest.raises(InputError) as found:
        build_text_store(
            scratch / "out", Texts(expand_texts([str(scratch / name)])), tokenizer
        )
    assert "\n" not in str(found.value)
    assert all(word in str(found.value) for word in [name, *words])
    assert [
        path.name
        for path in scratch.iterdir()
        if path.is_file() or "building" in path.name
    ] == [name]


def test_names_are_taken_as_they_are(scratch):
    """Brackets, capital endings; words that pandas takes for nothing; encodings whose lines can be told apart."""
    (scratch / "a[1].txt").write_text("one")
    (scratch / "B.TXT").write_text("two")
    (scratch / "c.CSV").write_text("text\nNA\nnull\n")
    assert expand_texts([str(scratch / "a[1].txt")]) == [scratch / "a[1].txt"]
    assert [path.name for path in expand_texts([str(scratch)])] == [
        "B.TXT",
        "a[1].txt",
        "c.CSV",
    ]
    assert [
        piece.text for piece in read_pieces([scratch / "c.CSV"], "text", "file", {})
    ] == ["NA", "null"]
    check_encoding("latin-1")
    check_encoding("utf-16-le")
    for name in ("cp500", "rot13", "nonsense"):
        with pytest.raises(InputError, match=name):
            check_encoding(name)


def test_wordpiece_is_a_function_of_its_texts():
    """Another process has another hash, by which tokenizers would number letters and break ties."""
    words = "from r2mae.data.tokenizer import *; from r2mae.data.tokenizer_training import *; "
    words += "print(tokenizer_fingerprint(train_tokenizer(['low lower newest', 'Déjà vu, widest'], 'wordpiece', 300)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", words], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    }
    assert len(found) == 1


def test_store_holds_all_tokens_in_order(scratch, tokenizer):
    (scratch / "a.txt").write_text("\n".join(make_texts(5)))
    (scratch / "b.txt").write_text("a last one")
    texts = Texts([scratch / "a.txt", scratch / "b.txt"], document="line")
    store = build_text_store(scratch / "store", texts, tokenizer)
    wanted = [tokenizer(text)["input_ids"] for text in (*make_texts(5), "a last one")]
    assert store.tokens.tolist() == [token for text in wanted for token in text]
    assert store.documents.tolist() == np.cumsum([0, *map(len, wanted[:-1])]).tolist()
    assert build_text_store(scratch / "store", texts, tokenizer).meta == store.meta
    with pytest.raises(InputError, match="another store"):
        build_text_store(scratch / "store", texts, byte_tokenizer())
    assert (
        load_tokenizer(str(store.place / "tokenizer"))("The cat")["input_ids"]
        == tokenizer("The cat")["input_ids"]
    )


def test_a_stopped_build_goes_on(scratch, tokenizer, monkeypatch):
    """Stopped after every batch in turn, and with half-written bytes behind it: the same store in the end."""
    for name in "abc":
        (scratch / f"{name}.txt").write_text("\n".join(make_texts(30)))
    texts = Texts(expand_texts([str(scratch / "*.txt")]), document="line")
    whole = build_text_store(scratch / "whole", texts, tokenizer)
    monkeypatch.setattr(text_build, "BATCH_CHARACTERS", 1500)

    class StopError(Exception):
        pass

    def stop(*_):
        for file in scratch.glob(".building_part_*/tokens.bin"):
            with file.open("ab") as torn:
                torn.write(b"torn")
        raise StopError

    stops = 0
    while True:
        try:
            part = build_text_store(
                scratch / "part",
                texts,
                tokenizer,
                stop if stops < 8 else lambda *_: None,
            )
            break
        except StopError:
            stops += 1
    assert stops == 8
    assert np.array_equal(part.tokens, whole.tokens)
    assert np.array_equal(part.documents, whole.documents)


def test_rows_are_packed(scratch, tokenizer):
    (scratch / "a.txt").write_text("\n".join(make_texts(300)))
    store = build_text_store(
        scratch / "store", Texts([scratch / "a.txt"], document="line"), tokenizer
    )
    rows = PackedRows(store, 32, with_units=True)
    assert rows.utilisation > 0.99
    batch = rows.load(torch.arange(len(rows)), None, 0)
    ids = batch["input_ids"].flatten()
    total = store.meta["tokens"]
    assert ids[:total].tolist() == store.tokens.tolist()
    assert (ids[total:] == tokenizer.pad_token_id).all()
    assert batch["segment_lengths"].sum() == total
    borders = set(store.documents.tolist()) | set(range(0, total, 32))
    assert set(batch["segment_starts"].tolist()) == borders
    assert (
        len(
            PackedRows(store, 32, attend="row").load(torch.arange(3), None, 0)[
                "segment_starts"
            ]
        )
        == 3
    )
    some = rows.load(torch.tensor([4, 1]), None, 0)
    assert torch.equal(some["input_ids"], batch["input_ids"][[4, 1]])


def test_words_are_units(tokenizer):
    for kind in ("bpe", "wordpiece"):
        made = train_tokenizer(make_texts(50), kind, 300)
        ids = made("The bird slept unbelievably", add_special_tokens=False)["input_ids"]
        starts = [not flag for flag in is_continuation(made)[ids]]
        assert sum(starts[1:]) + 1 == 4, (kind, made.convert_ids_to_tokens(ids))


def test_pairs_are_cut_longer_first(tokenizer):
    ids, starts, types, *_ = tokenise_texts(
        tokenizer, ["a" * 50, "b"], ["c", "d" * 50], 16
    )
    assert np.diff(starts).tolist() == [16, 16]
    assert types is not None
    assert types[:16].sum() == 2  # "c" and its border
    assert (ids == tokenizer.sep_token_id).sum() == 4


def test_pairs_are_joined_as_the_tokenizer_joins_them(tokenizer):
    from tokenizers import processors

    roberta = copy.deepcopy(tokenizer)
    roberta.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("[SEP]", tokenizer.sep_token_id), ("[CLS]", tokenizer.cls_token_id)
    )
    for joins in (tokenizer, roberta):
        ids = tokenise_texts(joins, ["one two"], ["three"], 64).ids
        assert ids.tolist() == joins("one two", "three")["input_ids"]


@pytest.mark.parametrize(
    "damage", ["meta", "tokens", "format", "counts", "dtype", "tokenizer"]
)
def test_damaged_stores_are_refused(scratch, tokenizer, damage):
    (scratch / "a.txt").write_text("some words")
    store = build_text_store(scratch / "store", Texts([scratch / "a.txt"]), tokenizer)
    if damage == "meta":
        (store.place / "meta.json").write_text("{")
    elif damage == "tokens":
        (store.place / "tokens.bin").write_bytes(b"x")
    elif damage == "tokenizer":
        byte_tokenizer().save_pretrained(store.place / "tokenizer")
        load_tokenizer.cache_clear()
    else:
        wrong = {
            "format": {"format": "other"},
            "counts": {"tokens": "abc"},
            "dtype": {"dtype": "float16"},
        }[damage]
        (store.place / "meta.json").write_text(json.dumps(store.meta | wrong))
    with pytest.raises(InputError, match="Build it again"):
        open_text_store(store.place).tokenizer  # noqa: B018 - read when asked for


def test_tokenizers_without_mask_or_pad_are_refused(scratch, tokenizer):
    for name in ("mask_token", "pad_token"):
        folder = scratch / name
        tokenizer.save_pretrained(folder)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config.pop(name)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=name.replace("_", " ")):
            load_tokenizer(str(folder))
    with pytest.raises(InputError, match="folder or hub id"):
        load_tokenizer(str(scratch))
    assert cache_folder("text").is_relative_to(scratch)


def test_encodings_by_name(scratch, tokenizer):
    (scratch / "old.txt").write_bytes("caf\xe9".encode("latin-1"))
    (scratch / "new.txt").write_text("café")
    options = {"encoding": {"old.txt": "latin-1"}}
    assert [
        piece.text
        for piece in read_pieces(
            [scratch / "old.txt", scratch / "new.txt"], "text", "file", options
        )
    ] == [
        "café",
        "café",
    ]


def test_an_implicit_build_is_heard_and_known_by_content(scratch, tokenizer):
    tokenizer.save_pretrained(scratch / "tok")
    for name in ("here", "there"):
        (scratch / name).mkdir()
        (scratch / name / "a.txt").write_text("\n".join(make_texts(20)))
    heard = []
    token = listener.set(lambda *what: heard.append(what))
    try:
        first = find_store(LanguageData(root="here/a.txt", tokenizer="tok"))
        size = (scratch / "here" / "a.txt").stat().st_size
        assert heard == [("bytes tokenised", size, size)]
        assert (
            find_store(LanguageData(root="there/a.txt", tokenizer="tok")).place
            == first.place
        )
        assert len(heard) == 1
        (scratch / "there" / "a.txt").write_text("other words")
        assert (
            find_store(LanguageData(root="there/a.txt", tokenizer="tok")).fingerprint
            != first.fingerprint
        )
    finally:
        listener.reset(token)


def test_tables_in_several_files(scratch, tokenizer):
    tokenizer.save_pretrained(scratch / "tok")
    for number in range(2):
        pd.DataFrame({"sentence": [f"text {number}"], "kind": [number]}).to_parquet(
            f"train-{number}.parquet"
        )
    section = SentenceData(root=".", tokenizer="tok", label_column="kind")
    card = scratch / "card.yaml"
    card.write_text(
        "title: t\nsource: s\nlicence: l\nmodality: language\nfiles: {train: ['train*']}\n"
    )
    section = section.model_copy(update={"card": str(card)})
    found = open_sentences(section, "train")
    assert found.labels.tolist() == [0, 1]
    for value, words in (
        (float("inf"), "classes"),
        (2.0**70, "below"),
        ([1, 2], "must be a class"),
    ):
        pd.DataFrame({"sentence": ["a", "b"], "kind": [value, value]}).to_parquet(
            "train-0.parquet"
        )
        pd.DataFrame({"sentence": ["a"], "kind": [value]}).to_parquet("train-1.parquet")
        with pytest.raises(InputError, match=words):
            open_sentences(section, "train")
    (scratch / "train.csv").write_text("sentence,kind\na,0\n")
    with pytest.raises(InputError, match=r"one kind, got \.csv and \.parquet"):
        open_sentences(section, "train")


def test_a_build_stopped_at_a_files_end_adds_nothing(scratch, tokenizer):
    """The place after a file's last piece is its size: read on from there, it has no further document."""
    (scratch / "a.txt").write_text("some words")
    (piece,) = read_pieces([scratch / "a.txt"], "text", "file", {})
    assert (
        list(read_pieces([scratch / "a.txt"], "text", "file", {}, (0, piece.at))) == []
    )


def test_tokenizers_neither_cut_nor_pad(scratch, tokenizer):
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=8)
    tokenizer.save_pretrained(scratch / "cutting")
    (scratch / "a.txt").write_text("\n".join(make_texts(20)))
    store = build_text_store(
        scratch / "store",
        Texts([scratch / "a.txt"]),
        load_tokenizer(str(scratch / "cutting")),
    )
    assert store.meta["tokens"] > 100
    assert tokenizer.pad_token_id not in store.tokens


def test_lines_end_words_and_signs_do_not_make_wordpieces():
    made = train_tokenizer(["## heading\nsome text\n", *make_texts(50)], "bpe", 400)
    ids = made("cat\nran ##", add_special_tokens=False)["input_ids"]
    words = made.convert_ids_to_tokens(ids)
    flags = is_continuation(made)[ids]
    assert not flags[
        [number for number, word in enumerate(words) if word[0] in "ĠĊ"]
    ].any()
    assert is_continuation(made)[made.convert_tokens_to_ids("a")]


def test_tables_of_old_time_and_new_content_are_read_anew(scratch):
    import os

    for content in ("text\nfirst\n", "text\nother\n"):
        (scratch / "a.csv").write_text(content)
        os.utime(scratch / "a.csv", (1_700_000_000, 1_700_000_000))
        assert texts_of(scratch / "a.csv") == content.splitlines()[1] + "|"
    (scratch / "b.csv").write_text("text,label\na,b\n\n \n")
    assert texts_of(scratch / "b.csv") == "a|"
    (scratch / "c.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert texts_of(scratch / "c.txt", "line") == "one|two|"


@pytest.mark.parametrize("damage", ["tokens.bin", "format", "tokenizer", "trained"])
def test_what_is_damaged_in_the_cache_is_made_again(scratch, damage):
    (scratch / "a.txt").write_text("\n".join(make_texts(50)))
    section = LanguageData(root="a.txt", document="line", tokenizer={"vocab_size": 300})
    store = find_store(section)
    tokens = np.array(store.tokens)
    if damage == "format":
        older = json.dumps(store.meta | {"format": "older"})
        (store.place / "meta.json").write_text(older)
    else:
        (trained,) = cache_folder("text").glob("tokenizer_*")
        file = {
            "tokens.bin": store.place / "tokens.bin",
            "tokenizer": store.place / "tokenizer" / "tokenizer.json",
            "trained": trained / "tokenizer.json",
        }[damage]
        file.write_bytes(file.read_bytes()[:-9])
    load_tokenizer.cache_clear()  # as in a new process
    again = find_store(section)
    assert np.array_equal(again.tokens, tokens)
    assert len(again.tokenizer) == 300


def write_unknown(scratch, num_known):
    """Texts in a script that a WordPiece tokenizer of English lacks, and some in English."""
    made = train_tokenizer(make_texts(50), "wordpiece", 300)
    lines = ["тишина над рекой"] * 20 + ["The cat"] * num_known
    (scratch / "a.txt").write_text("\n".join(lines))
    return made, Texts([scratch / "a.txt"], document="line")


def test_unknown_tokens_are_counted_warned_of_and_never_masked(scratch):
    """Item 17: [UNK] is special as [CLS] is; 3 of 3 tokens of 20 texts, 0 of 2 in 10."""
    made, texts = write_unknown(scratch, 10)
    with pytest.warns(UserWarning, match=r"75 % of tokens unknown .*\[UNK\]"):
        store = build_text_store(scratch / "store", texts, made)
    assert store.meta["unknown_tokens"] == 60
    rules = TokenMasking((32,), vocabulary(made, len(made)))
    batch = PackedRows(store, 32).load(torch.tensor([0]), None, 0)
    is_unknown = batch["input_ids"] == made.unk_token_id
    assert is_unknown.any()
    assert (rules.eligible(batch)[is_unknown] == int(Role.SEEN)).all()
    assert made.unk_token_id not in rules._ordinary
    folder = scratch / "made"
    made.save_pretrained(folder)
    section = SentenceData(tokenizer=str(folder), columns=("text",))
    with pytest.warns(UserWarning, match="60 % of tokens are unknown"):
        open_text_objects(section, ["тишина над рекой", "The cat"])


def test_texts_of_unknown_tokens_alone_are_refused(scratch):
    made, texts = write_unknown(scratch, 0)
    with pytest.raises(InputError, match=r"100 % of tokens unknown"):
        build_text_store(scratch / "store", texts, made)


def test_known_texts_warn_of_nothing(scratch, recwarn):
    made = train_tokenizer(make_texts(50), "wordpiece", 300)
    (scratch / "a.txt").write_text("\n".join(make_texts(50)))
    store = build_text_store(scratch / "store", Texts([scratch / "a.txt"]), made)
    assert store.meta["unknown_tokens"] == 0
    assert not recwarn.list


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("document", ["file", "paragraph", "line"])
def test_byte_order_marks_say_the_encoding(scratch, monkeypatch, encoding, document):
    """Item 19: and reading resumes at any piece."""
    monkeypatch.setattr("r2mae.data.text_files.MOST_PIECE", 20)
    content = "À la carte, première ligne\n\nتجربة نص\nlast 🦊 line"
    (scratch / "plain.txt").write_text(content)
    (scratch / "a.txt").write_bytes(content.encode(encoding))
    pieces = list(read_pieces([scratch / "a.txt"], "text", document, {}))
    assert texts_of(scratch / "a.txt", document) == texts_of(
        scratch / "plain.txt", document
    )
    for number, piece in enumerate(pieces, 1):
        if piece.at is not None:
            start = (0, piece.at)
            rest = list(read_pieces([scratch / "a.txt"], "text", document, {}, start))
            assert rest == pieces[number:]


def test_utf_16_without_a_byte_order_mark_is_named_or_chosen(scratch):
    """Item 19: it would be valid UTF-8 with NULs."""
    (scratch / "a.txt").write_bytes("some words".encode("utf-16-le"))
    with pytest.raises(InputError, match="UTF-16 without a byte order mark"):
        texts_of(scratch / "a.txt")
    assert texts_of(scratch / "a.txt", encoding="utf-16-le") == "some words|"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("separator", [" ", ""])
def test_long_lines_come_in_parts(scratch, tokenizer, monkeypatch, name, separator):
    """Item 19: a tokenizer gets at most MOST_PIECE characters of a line at once."""
    monkeypatch.setattr("r2mae.data.text_files.MOST_PIECE", 1000)
    monkeypatch.setattr(text_build, "BATCH_CHARACTERS", 3000)
    line = separator.join(f"w{n}" for n in range(3000))
    content = line if name == "a.txt" else json.dumps({"text": line})
    (scratch / name).write_text(content)
    pieces = list(read_pieces([scratch / name], "text", "line", {}))
    assert "".join(piece.text for piece in pieces) == line
    assert max(len(piece.text) for piece in pieces) <= 1000
    assert [piece.is_start for piece in pieces].count(True) == 1
    store = build_text_store(
        scratch / "store", Texts([scratch / name], document="line"), tokenizer
    )
    assert store.meta["documents"] == 1
    if separator:  # cut before spaces: the tokens are those of the text
        assert store.tokens.tolist() == tokenizer(line)["input_ids"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_build_stopped_inside_a_long_row_resumes_at_its_start(
    scratch, tokenizer, monkeypatch, name
):
    monkeypatch.setattr("r2mae.data.text_files.MOST_PIECE", 100)
    rows = [" ".join(f"row{n}" for _ in range(60)) for n in range(3)]
    lines = rows if name == "a.txt" else [json.dumps({"text": row}) for row in rows]
    (scratch / name).write_text("\n".join(lines))
    texts = Texts([scratch / name], document="line")
    complete = build_text_store(scratch / "complete", texts, tokenizer)
    monkeypatch.setattr(text_build, "BATCH_CHARACTERS", 250)
    tokenise, calls = text_build._tokenise, []

    def stop(*arguments):
        calls.append(0)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return tokenise(*arguments)

    monkeypatch.setattr(text_build, "_tokenise", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build_text_store(scratch / "part", texts, tokenizer)
    part = build_text_store(scratch / "part", texts, tokenizer)
    assert np.array_equal(part.tokens, complete.tokens)
    assert np.array_equal(part.documents, complete.documents)


def test_shards_as_on_the_hub_are_splits(scratch, tokenizer):
    from r2mae.data.tokenizer import save_tokenizer

    save_tokenizer(tokenizer, scratch / "tok")
    texts = make_texts(6)
    for folder in ("flat", "nested/data"):
        (scratch / folder).mkdir(parents=True)
        for part in range(2):
            rows = {"text": texts[2 * part : 2 * part + 2], "label": [part, 1]}
            name = f"{folder}/train-0000{part}-of-00002.parquet"
            pd.DataFrame(rows).to_parquet(scratch / name)
        rows = {"text": texts[4:], "label": [0, 1]}
        pd.DataFrame(rows).to_parquet(scratch / folder / "test-00000-of-00001.parquet")
    for root in ("flat", "nested"):
        section = SentenceData(
            root=root,
            tokenizer="tok",
            columns=("text",),
            label_column="label",
            length=32,
        )
        train, test = open_sentences(section, "train"), open_sentences(section, "test")
        assert train.labels.tolist() == [0, 1, 1, 1]
        assert len(test) == 2


def test_a_missing_split_is_named_beside_what_is_there(scratch, tokenizer):
    rows = pd.DataFrame({"text": make_texts(2), "label": [0, 1]})
    for name in ("train", "validation"):
        rows.to_csv(scratch / f"{name}.csv")
    section = SentenceData(root=".", tokenizer="bytes", columns=("text",), length=32)
    with pytest.raises(InputError, match=r"test\.\* or .*, got .*validation\.csv\. Re"):
        open_sentences(section, "test")


def test_a_row_without_text_names_the_option_that_leaves_it_out(scratch):
    (scratch / "a.jsonl").write_text('{"text": "one"}\n{"text": null}\n')
    section = LanguageData(root="a.jsonl", tokenizer="bytes", length=8)
    with pytest.raises(
        InputError, match=r"row 1 of text must .*data build language .*--skip"
    ):
        find_store(section)
