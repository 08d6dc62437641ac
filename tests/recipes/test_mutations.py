"""Recipes of each kind, spoilt in thousands of ways: a mutant loads, or is refused in one line; nothing is written."""

import copy
import random
from functools import cache
from pathlib import Path

import pytest
import yaml

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import shipped_recipes
from r2mae.schema.document import load_document
from tests.conftest import ROOT

RECIPES = sorted(shipped_recipes().values())
STRANGE = (
    None, True, "word", "", "75%", "1e", " ", "\u2603" * 9, "../../etc/passwd", "/",
    0, -1, 1, 75, 1.5, -0.0, 1e-300, 1e300, 10**30, 10**400, 2**63, float("nan"), float("inf"), float("-inf"),
    [], [1], ["word", None], [[]], {}, {"a": 1}, {"uniform": 3}, {"": {}}, {"uniform": {"low": 0.9, "high": 0.1}},
    {"a": {"b": {"c": {"d": 1}}}},
)  # fmt: skip


def keys(document, prefix=()):
    """Paths of all keys, sections included."""
    for key, value in document.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from keys(value, (*prefix, key))


def changed(document, path, change):
    """A copy, with `change(section, key)` applied where the path ends."""
    mutant = copy.deepcopy(document)
    section = mutant
    for key in path[:-1]:
        section = section[key]
    change(section, path[-1])
    return mutant


def misspelt(section, key):
    section[key + "x"] = section.pop(key)


def structural_mutants(document, paths):
    """(what was done, document) of a key that is missing, misspelt, or one too many."""
    for path in paths:
        name = ".".join(path)
        for what, change in (
            ("without", lambda section, key: section.pop(key)),
            ("misspelt", misspelt),
            ("beside", lambda section, key: section.update({key[::-1] + "_": 1})),
        ):
            yield f"{what} {name}", changed(document, path, change)


def value_mutants(document, paths):
    """(what was done, document) of every odd value at every path."""
    for path in paths:
        for value in STRANGE:
            mutant = changed(
                document, path, lambda s, key, value=value: s.update({key: value})
            )
            yield f"{'.'.join(path)} = {value!r:.40}", mutant


@cache
def first_keys():
    """For each recipe, the keys that no earlier one has in a section of the same class, or in a model of its encoder.

    The same key of two such recipes is read by the same lines of the schema.
    """
    seen, first = set(), {}
    for path in RECIPES:
        recipe, document = load_recipe(str(path)), load_document(path)
        first[path] = []
        for key in keys(document):
            name = key[0]
            encoder = recipe.model.encoder if name == "model" else None
            kind = (type(getattr(recipe, name)), encoder, key)
            if kind not in seen:
                first[path].append(key)
            seen.add(kind)
    return first


def write(mutant, file):
    """libyaml writes the same text as PyYAML, ten times as fast."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    file.write_text(yaml.dump(mutant, Dumper=dumper, allow_unicode=True))


def load(path, overrides=None):
    """None when the file is a recipe, or the line that refuses it."""
    try:
        load_recipe(str(path), overrides)
    except InputError as error:
        line = str(error)
        assert "\n" not in line
        assert 0 < len(line) < 500, line
        assert str(path) in line or "--set" in line, line
        return line
    return None


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_mutant_loads_or_is_one_line(recipe, tmp_path):
    file, refused, judged, number = tmp_path / "mutant.yaml", 0, 0, 0
    document = load_document(recipe)
    paths = first_keys()[recipe]
    for mutants in (
        structural_mutants(document, paths),
        value_mutants(document, paths),
    ):
        for what, mutant in mutants:
            number += 1
            write(mutant, file)
            line = load(file)
            if "model.arguments." in what:  # those are timm's: `check` asks it
                continue
            judged += 1
            refused += line is not None
            if what.startswith("misspelt"):
                assert line is not None, what
    assert number == len(paths) * (3 + len(STRANGE))
    assert refused >= judged / 2


def test_every_key_of_a_kind_of_recipe_gets_every_value():
    assert sum(map(len, first_keys().values())) > 300


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_pair_of_changes_too(recipe, tmp_path):
    file, rng = tmp_path / "mutant.yaml", random.Random(recipe.stem)
    document = load_document(recipe)
    paths = list(keys(document))
    single = [*structural_mutants(document, paths), *value_mutants(document, paths)]
    for _ in range(30):
        mutant = rng.choice(single)[1]
        path = rng.choice(list(keys(mutant)))
        mutant = changed(
            mutant,
            path,
            lambda section, key: section.update({key: rng.choice(STRANGE)}),
        )
        write(mutant, file)
        load(file)


BROKEN = {
    "empty": b"",
    "a word": b"word",
    "a list": b"- 1\n- 2\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a tab": b"task:\n\tpretrain: 1\n",
    "a duplicate": b"task: pretrain\ntask: pretrain\n",
    "not closed": b"mask: {ratio: {uniform: {low: 0.1\n",
    "laughs": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
    "an anchor of itself": b"task: &a {b: *a}\n",
    "deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "deep maps": b"".join(b" " * n + b"a:\n" for n in range(500)),
    "not UTF-8": b"task: \xff\xfe pretrain\n",
    "UTF-16": "task: pretrain\n".encode("utf-16"),
    "NUL": b"task: pre\x00train\n",
    "a control character": b"task: \x07\n",
    "half a pair": b'task: "\\ud800"\n',
    "2 MB": b"a: " + b"x" * (2 << 20),
    "a merge": b"<<: {task: pretrain}\n",
    "a tag": b"task: !!python/object/apply:os.system [ls]\n",
    "keys that are no words": b"1: 2\n? [a]\n: 3\n",
    "a huge number": b"seed: " + b"9" * 10_000 + b"\n",
    "a date": b"seed: 2020-01-01\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "broken.yaml"
    file.write_bytes(BROKEN[name])
    assert load(file) is not None
    refuse(["check", file], capsys)
    refuse(["pretrain", file], capsys)
    assert list(tmp_path.iterdir()) == [file]


MALFORMED = [
    "", "=", "seed", "seed=", "=1", "seed=[", "seed=&a 1", "seed=!!int 1", "seed.low=1", ".=1", "data..root=1",
    "nope=1", "mask.ratio=&a [*a]", "seed={a: 1, a: 2}", "seed=\x00", "seed=1e400",
    "seed=" + "9" * 9999, "schedule.steps=.inf",
]  # fmt: skip


@pytest.mark.parametrize("setting", MALFORMED)
def test_overrides_are_one_line(setting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refuse(
        ["check", ROOT / "recipes" / "vision" / "digits_demo.yaml", "--set", setting],
        capsys,
    )
    assert not list(tmp_path.iterdir())


# Loads as a recipe, and cannot work, or costs more than there is.
IMPOSSIBLE = [
    "model.width=100000000", "model.width=65", "model.heads=3", "model.depth=100000", "model.decoder_heads=7",
    "model.patch_size=3", "model.patch_size=100", "data.image_size=1", "data.image_size=100000", "data.channels=1000",
    "schedule.steps=1099511627776", "schedule.steps=1", "schedule.warmup_steps=800", "batch.global_samples=16777216",
    "batch.global_samples=1", "data.card=nope", "data.card=/", "data.root=/dev/null", "data.root=.",
    "data.held_out=0.999999", "data.held_out=1.0e-9", "model.encoder=nope", "model.encoder=../x", "model.encoder=''",
    "model.init_from=/nope", "model.init_from=.", "model.init_from=''", "hardware.devices=1024", "hardware.devices=128",
    "hardware.accelerator=gpu", "watch.samples=1048576", "seed=2147483647", "optimizer.lr_per_256_samples=10.0",
]  # fmt: skip


@pytest.mark.parametrize("setting", IMPOSSIBLE)
def test_what_cannot_work_is_found_before_anything_is_written(
    setting, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    code = main(
        [
            "check",
            str(ROOT / "recipes" / "vision" / "digits_demo.yaml"),
            "--set",
            setting,
        ]
    )
    said = capsys.readouterr().err
    assert code in (0, 2), said
    if code == 2:
        assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def refuse(arguments, capsys):
    """One line, code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1, said
    assert said.startswith("r2mae: ")


def test_paths_that_are_no_recipes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for path in (
        "nope.yaml",
        "folder",
        "/dev/null",
        "nope/nope.yaml",
        "x" * 300,
        "a\x00b",
    ):
        refuse(["pretrain", path], capsys)
    assert [path.name for path in Path().iterdir()] == ["folder"]
