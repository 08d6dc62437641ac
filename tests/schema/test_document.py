import random

import pytest

from r2mae.errors import InputError
from r2mae.schema.document import (
    MAX_BYTES,
    MAX_DEPTH,
    apply_overrides,
    load_document,
    write_document,
)


def loaded(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_document(path)


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_document(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path)[:100] in message
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("2.", 2.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("9" * 40, int("9" * 40)),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", "Null"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("2024-01-01", "2024-01-01"),
        ("'1e-4'", "1e-4"),
        ("=", "="),
        ("[1, no, {a: 1e1}]", [1, "no", {"a": 10.0}]),
        ("{no: 1, 2: 3, null: 4}", {"no": 1, "2": 3, "null": 4}),
        ("é²", "é²"),
    ],
)
def test_core_scalars(tmp_path, text, value):
    result = loaded(tmp_path, f"key: {text}\n")["key"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", [":1:", "anchors and aliases"]),
        ("a: 1\nb: *x\n", [":2:", "anchors and aliases"]),
        ("a: {b: [&x 1]}\n", ["anchors and aliases"]),
        ("<<: &x {a: 1}\n", ["anchors and aliases"]),
        ("a: 1\nb: 2\na: 3\n", [":3:", "'a'", "twice"]),
        ("a: {b: 1, b: 1}\n", ["'b'", "twice"]),
        ("1: 1\n'1': 2\n", ["'1'", "twice"]),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, [f"{MAX_DEPTH} levels"]),
        ("a: " + "[" * 100_000, [f"{MAX_DEPTH} levels"]),
        ("a: " + "{b: " * 100_000, [f"{MAX_DEPTH} levels"]),
        ("a: " + "9" * 41, ["at most 40 characters, got 41"]),
        ("a: 0." + "9" * 5000, ["at most 40 characters"]),
        ("? [a]\n: 1\n", ["a key must be text"]),
        ("a: !!timestamp x\n", ["tag", "timestamp", "must not be used"]),
        ("a: !!set {b}\n", ["tag", "must not be used"]),
        ("a: !!bool maybe\n", ["tag", "must not be used"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["tag", "must not be used"]),
        ('a: "\\ud800"\n', ["Unicode"]),
        ("a: [1, 2\n", ["well-formed"]),
        ("a: b: c\n", ["well-formed"]),
        ("\ta: 1\n", ["well-formed"]),
        ("a: 'b\n", ["well-formed"]),
        ("a: 1\n---\nb: 2\n", ["well-formed"]),
        ("a: \x00\n", ["well-formed"]),
        ("- 1\n- 2\n", ["mapping", "list"]),
        ("3\n", ["mapping", "int"]),
        ("", ["mapping", "NoneType"]),
        ("# only a comment\n", ["mapping"]),
        ("a: 1\n#" + "x" * MAX_BYTES, [str(MAX_BYTES), "at most"]),
    ],
)
def test_bad_yaml_is_one_line_that_names_the_file(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal(path)
    for word in words:
        assert word in message


def test_deepest_allowed_nesting(tmp_path):
    depth = MAX_DEPTH - 1  # the document itself is one level
    value = loaded(tmp_path, "a: " + "[" * depth + "]" * depth)["a"]
    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("prepare", "rule"),
    [
        (lambda path: path.with_suffix(".yml").touch(), "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\xff\x00"), "UTF-8"),
        (lambda path: path.write_bytes("a: é".encode("latin-1")), "UTF-8"),
    ],
)
def test_unreadable_file(tmp_path, prepare, rule):
    path = tmp_path / "recipe.yaml"
    prepare(path)
    assert rule in refusal(path)


def test_name_too_long(tmp_path):
    assert "readable" in refusal(tmp_path / ("a" * 5000))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], {"a": {"b": 1, "c": [1]}, "d": 2}),
        (["a.b=1e-4"], {"a": {"b": 1e-4, "c": [1]}, "d": 2}),
        (["a.b=no", " d =~"], {"a": {"b": "no", "c": [1]}, "d": None}),
        (["a={x: {y: 1}}", "a.x.y=2"], {"a": {"x": {"y": 2}}, "d": 2}),
        (
            ["e.f.g=[1, x]"],
            {"a": {"b": 1, "c": [1]}, "d": 2, "e": {"f": {"g": [1, "x"]}}},
        ),
        (["d=a=b"], {"a": {"b": 1, "c": [1]}, "d": "a=b"}),
        (["d="], {"a": {"b": 1, "c": [1]}, "d": None}),
        (["d=1", "d=3"], {"a": {"b": 1, "c": [1]}, "d": 3}),
    ],
)
def test_overrides(overrides, expected):
    document = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert apply_overrides(document, overrides) == expected
    assert document == {"a": {"b": 1, "c": [1]}, "d": 2}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("a.b", ["key.subkey=value", "'a.b'"]),
        ("=3", ["key.subkey=value", "'=3'"]),
        ("a.=3", ["key.subkey=value"]),
        (".a=3", ["key.subkey=value"]),
        ("a..b=3", ["key.subkey=value"]),
        ("d.x=3", ["d must be a section", "got 2"]),
        ("a.b.x=3", ["a.b must be a section", "got 1"]),
        ("a.c.0=3", ["a.c must be a section"]),
        ("d=[1", ["--set d=[1", "well-formed"]),
        ("d={x: 1, x: 2}", ["twice"]),
        ("d=&x 1", ["anchors"]),
        ("d=" + "[" * 100_000, ["--set d=[[[", "levels"]),
    ],
)
def test_bad_overrides(override, words):
    with pytest.raises(InputError) as caught:
        apply_overrides({"a": {"b": 1, "c": [1]}, "d": 2}, [override])
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 300
    for word in words:
        assert word in message


WORDS = [
    "1e5",
    "08",
    "5e3",
    "+.5",
    "no",
    "yes",
    "True",
    "1:30",
    "0x1F",
    "1_0",
    "~",
    "",
    " x ",
    "2024-01-01",
    "=",
    "<<",
]
WORDS += [
    "null",
    ".inf",
    "a: b",
    "#",
    "- x",
    "é\n\ty\u2028z\x00",
    "'",
    '"',
    "*x",
    "&x",
    "!x",
    "%x",
    "x " * 100,
]


@pytest.mark.parametrize("word", WORDS)
def test_written_words_stay_words(tmp_path, word):
    document = {"a": word, "b": [word], word: {word: word}}
    assert loaded(tmp_path, write_document(document)) == document


def test_written_document_round_trips(tmp_path):
    rng = random.Random(0)

    def value(depth):
        kind = rng.randrange(8 if depth < 4 else 6)
        scalars = (
            lambda: rng.choice([None, True, False]),
            lambda: rng.randrange(-(10**18), 10**18),
            lambda: rng.uniform(-1, 1) * 10.0 ** rng.randrange(-300, 300),
            lambda: rng.choice([0.0, 1.0, 1e-4, 1e16, 5e-324]),
            lambda: rng.choice(WORDS),
            lambda: "".join(rng.choices("aé0 :-#\n'\"{[,", k=rng.randrange(12))),
            lambda: [value(depth + 1) for _ in range(rng.randrange(4))],
            lambda: {
                rng.choice(WORDS): value(depth + 1) for _ in range(rng.randrange(4))
            },
        )
        return scalars[kind]()

    for _ in range(100):
        document = {"key": value(0), "other": value(0)}
        back = loaded(tmp_path, write_document(document))
        assert back == document
        assert repr(back) == repr(document)  # types and the order of keys too


def test_shared_values_are_written_out(tmp_path):
    shared = [1, 2]
    assert loaded(tmp_path, write_document({"a": shared, "b": shared})) == {
        "a": [1, 2],
        "b": [1, 2],
    }
