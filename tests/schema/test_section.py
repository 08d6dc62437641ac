import math

import pytest
from pydantic import Field, ValidationError, model_validator

from r2mae.errors import InputError
from r2mae.schema.section import Section, exactly_one, shown, validate


class Inner(Section):
    share: float = Field(default=0.5, gt=0, le=1)
    count: int = Field(default=1, ge=1, lt=10)
    pair: tuple[float, float] = (0.0, 1.0)


class Outer(Section):
    name: str
    flag: bool = False
    inner: Inner = Inner()
    maybe: Inner | None = None
    items: tuple[Inner, ...] = Field(default=(), max_length=2)
    left: int | None = None
    right: int | None = None

    @model_validator(mode="after")
    def _check(self):
        if self.left is not None or self.right is not None:
            exactly_one(self, "left", "right")
        return self


BAD = [
    ({}, "name must be given, got nothing."),
    ({"name": 3}, "name must be text, got 3."),
    ({"name": None}, "name must be text, got null."),
    ({"name": "a", "flag": 1}, "flag must be true or false, got 1."),
    ({"name": "a", "flag": "true"}, 'flag must be true or false, got "true".'),
    ({"name": "a", "inner": 3}, "inner must be a section of keys, got 3."),
    ({"name": "a", "inner": None}, "inner must be a section of keys, got null."),
    ({"name": "a", "inner": [1]}, "inner must be a section of keys, got [1]."),
    ({"name": "a", "maybe": "x"}, 'maybe must be a section of keys, got "x".'),
    ({"name": "a", "items": {}}, "items must be a list, got {}."),
    ({"name": "a", "items": [{}, 3]}, "items.1 must be a section of keys, got 3."),
    (
        {"name": "a", "items": [{}] * 3},
        "items must hold at most 2 items, got [{}, {}, {}].",
    ),
    ({"name": "a", "inner": {"count": 0}}, "inner.count must be at least 1, got 0."),
    (
        {"name": "a", "inner": {"count": 10}},
        "inner.count must be less than 10, got 10.",
    ),
    (
        {"name": "a", "inner": {"count": 2.5}},
        "inner.count must be a whole number, got 2.5.",
    ),
    (
        {"name": "a", "inner": {"count": 2.0}},
        "inner.count must be a whole number, got 2.0.",
    ),
    (
        {"name": "a", "inner": {"count": True}},
        "inner.count must be a whole number, got true.",
    ),
    (
        {"name": "a", "inner": {"count": "3"}},
        'inner.count must be a whole number, got "3".',
    ),
    (
        {"name": "a", "inner": {"share": 0}},
        "inner.share must be greater than 0.0, got 0.",
    ),
    (
        {"name": "a", "inner": {"share": 75}},
        "inner.share must be at most 1.0, got 75. Ratios are fractions; did you mean 0.75?",
    ),
    (
        {"name": "a", "inner": {"share": 175}},
        "inner.share must be at most 1.0, got 175.",
    ),
    (
        {"name": "a", "inner": {"share": True}},
        "inner.share must be a number, got true.",
    ),
    (
        {"name": "a", "inner": {"share": "0.5"}},
        'inner.share must be a number, got "0.5".',
    ),
    (
        {"name": "a", "inner": {"share": math.inf}},
        "inner.share must be finite, got inf.",
    ),
    (
        {"name": "a", "inner": {"share": math.nan}},
        "inner.share must be finite, got nan.",
    ),
    (
        {"name": "a", "inner": {"pair": [1, "x"]}},
        'inner.pair.1 must be a number, got "x".',
    ),
    ({"name": "a", "inner": {"pair": [1]}}, "inner.pair.1 must be given, got nothing."),
    ({"name": "a", "inner": {"pair": 1}}, "inner.pair must be a list, got 1."),
    (
        {"name": "a", "left": 1, "right": 2},
        "must set exactly one of left, right, got left and right.",
    ),
    ({"nam": "a"}, "nam must be a key of the document. Did you mean name?"),
    (
        {"name": "a", "inner": {"shar": 1}},
        "inner.shar must be a key of inner. Did you mean share?",
    ),
    (
        {"name": "a", "maybe": {"cuont": 1}},
        "maybe.cuont must be a key of maybe. Did you mean count?",
    ),
    (
        {"name": "a", "items": [{}, {"pari": 1}]},
        "items.1.pari must be a key of items.1. Did you mean pair?",
    ),
    (
        {"name": "a", "inner": {"zzz": 1}},
        "inner.zzz must be a key of inner. Known: share, count, pair.",
    ),
]


@pytest.mark.parametrize(("document", "sentence"), BAD)
def test_first_mistake_in_one_sentence(document, sentence):
    with pytest.raises(InputError) as caught:
        validate(Outer, document, "recipe.yaml")
    assert str(caught.value) == f"recipe.yaml: {sentence}"


def test_long_values_are_shortened():
    with pytest.raises(InputError) as caught:
        validate(Outer, {"name": "a", "inner": {"count": "x" * 10_000}}, "recipe.yaml")
    assert len(str(caught.value)) < 150


def test_lines_in_values_do_not_break_the_message():
    for document in (
        {"name": "a", "flag": "x\ny\u2028z"},
        {"name": "a", "x\ny": 1},
        {"name": "a", "inner": {"\n": 1}},
    ):
        with pytest.raises(InputError) as caught:
            validate(Outer, document, "recipe.yaml")
        assert len(str(caught.value).splitlines()) == 1


def test_valid_section_holds_what_was_given():
    document = {
        "name": "é",
        "flag": True,
        "inner": {"share": 1, "pair": [0.25, 2]},
        "items": [{"count": 9}],
        "left": 3,
    }
    section = validate(Outer, document, "recipe.yaml")
    assert (section.name, section.flag, section.left, section.right) == (
        "é",
        True,
        3,
        None,
    )
    assert section.inner == Inner(share=1.0, count=1, pair=(0.25, 2.0))
    assert section.items == (Inner(count=9),)


def test_sections_are_frozen():
    section = validate(Outer, {"name": "a"}, "recipe.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        section.name = "b"


@pytest.mark.parametrize(
    ("left", "right", "got"),
    [(None, None, "none"), (1, 2, "left and right"), (0, 0, "left and right")],
)
def test_exactly_one_refuses(left, right, got):
    section = Outer.model_construct(name="a", left=left, right=right)
    with pytest.raises(
        ValueError, match=f"must set exactly one of left, right, got {got}"
    ):
        exactly_one(section, "left", "right")


def test_exactly_one_counts_zero_as_given():
    exactly_one(Outer.model_construct(name="a", left=0, right=None), "left", "right")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.5"),
        ("é", '"é"'),
        (None, "null"),
        (math.inf, "inf"),
        ("x" * 58, f'"{"x" * 58}"'),
        ("x" * 59, f'"{"x" * 56}...'),
        ({"a": [1]}, '{"a": [1]}'),
    ],
)
def test_shown(value, text):
    assert shown(value) == text
    assert len(shown(value)) <= 60
