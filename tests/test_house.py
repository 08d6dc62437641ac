"""How the code is kept: rooms that know no modality, short functions, wings that stand alone."""

import ast
import json

import pytest

from r2mae.modalities import BUILT_IN
from tests.blocked import modules_outside, run_blocked
from tests.conftest import ROOT

PACKAGE = ROOT / "r2mae"
LONGEST = 40  # lines of a function, signature included, docstring not

# Rooms whose code names no modality: neither as an identifier nor as a word of a string.
NEUTRAL = (
    "cli",
    "advice",
    "recipe",
    "wing.py",
    "wing_commands.py",
    "loaded_run.py",
    "schema",
    "evaluation",
    "training",
    "models",
    "data",
    "masking",
    "metrics",
    "law",
    "theory",
)
# Files that name one today. To be emptied; add none.
NAMES_A_MODALITY = {
    "data/kinds.py": {"dna"},
}


def neutral_files():
    for room in NEUTRAL:
        place = PACKAGE / room
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def docstrings(tree):
    """Nodes of docstrings, which may speak of modalities."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if (
            isinstance(node, owners)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        ):
            yield node.body[0].value


def named_in(source):
    """Words of a module's identifiers and strings; not of docstrings and comments."""
    tree = ast.parse(source)
    skipped = set(map(id, docstrings(tree)))
    words = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                words.update(name.lower().split("_"))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                words.update(name.lower().split("_"))
            case ast.keyword(arg=str(name)):
                words.update(name.lower().split("_"))
            case ast.Constant(value=str(text)) if id(node) not in skipped:
                letters = "".join(c if c.isalnum() else " " for c in text.lower())
                words.update(letters.split())
    return words


def test_named_in_sees_identifiers_and_strings_alone():
    source = (
        '"""Of dna."""\ndna_rows = x.cell(vision=1)\ny = f"on {z} language"  # text\n'
    )
    assert named_in(source) >= {"dna", "rows", "cell", "vision", "language"}
    assert not named_in('"""Of dna."""\n') & {"dna"}
    assert not named_in("x = 1  # a cell\n") & {"cell"}


def test_no_room_of_the_engine_names_a_modality():
    named = {}
    for path in neutral_files():
        modalities = named_in(path.read_text()) & set(BUILT_IN)
        if modalities:
            named[path.relative_to(PACKAGE).as_posix()] = modalities
    assert named == NAMES_A_MODALITY


def long_functions():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node):
                    docstring = node.body[0]
                    lines -= docstring.end_lineno - docstring.lineno + 1
                if lines > LONGEST:
                    yield f"{path.relative_to(PACKAGE).as_posix()}:{node.name}"


def test_functions_are_short():
    assert not list(long_functions())


TINY = {
    "vision": (
        "digits_demo",
        ["model.width=16", "model.depth=1", "model.heads=2", "model.decoder_depth=1"],
    ),
    "cell": ("pbmc68k_demo", ["model.width=8", "model.hidden=16"]),
    "language": (
        "topics_demo",
        ["model={width: 16, depth: 1, heads: 2, hidden: 16}"],
    ),
    "dna": (
        "motifs_demo",
        ["model={encoder: modernbert, width: 16, depth: 1, heads: 2, hidden: 16}"],
    ),
    "algebra": ("modular_addition_demo", ["model.width=16"]),
}
SHORT = [
    "schedule={steps: 2}",
    "batch={global_samples: 8}",
    "watch={samples: 8, knn: false, linear_probe: false}",
]
EXPORTED = ("language", "dna")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_wing_runs_where_the_libraries_of_others_are_missing(name, scratch):
    recipe, shape = TINY[name]
    settings = [part for one in (*SHORT, *shape) for part in ("--set", one)]
    commands = [["pretrain", recipe, "--name", "run", *settings]]
    commands += [["embed", "runs/run", "test", "-o", "features.npy"]]
    if name in EXPORTED:
        commands += [["export", "runs/run", "out", "--to", "transformers"]]
    code = f"""\
from r2mae.cli.main import main
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe
from r2mae.recipe.shipped import shipped_recipes

assert find_wing({name!r}).name == {name!r}
for recipe in shipped_recipes():
    if recipe.startswith({name + "/"!r}):
        load_recipe(recipe)
for command in {commands!r}:
    assert main(command) == 0, command
"""
    run_blocked(modules_outside(name), code, cwd=scratch)
    assert (
        json.loads((scratch / "runs/run/run.json").read_text())["status"] == "finished"
    )
    assert (scratch / "out").is_dir() == (name in EXPORTED)


def test_other_libraries_are_blocked():
    """So that the test above can fail."""
    outside = {name: modules_outside(name) for name in BUILT_IN}
    assert outside["vision"] >= {"scanpy", "anndata", "h5py", "numba"}
    assert outside["cell"] >= {"transformers", "tokenizers", "datasets"}
    assert outside["language"] >= {"timm", "torchvision", "scanpy", "numba"}
    assert outside["dna"] >= {"timm", "torchvision", "scanpy", "numba"}
    assert outside["algebra"] >= {"timm", "transformers", "scanpy", "numba"}
