"""The recipes that come with r2mae: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

from r2mae.data.card import load_card
from r2mae.errors import InputError, did_you_mean
from r2mae.schema.document import load_document, set_keys

_PACKAGE = Path(__file__).resolve().parent.parent
RECIPES = next(
    (
        place
        for place in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes")
        if place.is_dir()
    ),
    _PACKAGE,
)

_STUDIES = "studies"


def shipped_recipes() -> dict[str, Path]:
    """Name without its ending (`vision/digits_demo`) -> file, in the order of names."""
    files = sorted(RECIPES.glob("*/*.yaml"))
    return {
        path.relative_to(RECIPES).with_suffix("").as_posix(): path
        for path in files
        if path.parent.name != _STUDIES
    }


def shipped_studies() -> dict[str, Path]:
    """Name without its ending (`digits`) -> study file, in the order of names."""
    return {path.stem: path for path in sorted((RECIPES / _STUDIES).glob("*.yaml"))}


def data_provision(path: Path) -> str:
    """Who provides the data of a recipe or study: `Card.provision` of its card.

    "bundled" for a recipe without a card, whose data is computed.
    """
    document = load_document(path)
    if "laws" in document:
        recipe = load_document(find_recipe(document["recipe"]))
        document = set_keys(recipe, document.get("set", {}), str(path))
    card = document["data"].get("card")
    return "bundled" if card is None else load_card(card).provision


def is_study(path: str) -> bool:
    """Whether a file is a study: it has laws, which no recipe has."""
    return Path(path).is_file() and "laws" in load_document(path)


def find_study(name: str) -> Path:
    """A study file by its path, or a study of r2mae by its name.

    Raises: InputError, naming the shipped studies, if it is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_studies()
    plain = name.removeprefix("recipes/").removeprefix("studies/").removesuffix(".yaml")
    if plain in shipped:
        return shipped[plain]
    near = did_you_mean(plain, shipped)
    remedy = near if near.startswith("Did") else "Name its file."
    raise InputError(
        f"STUDY must be a file, or one of {', '.join(shipped)}, got {name!r}. {remedy}"
    )


def find_recipe(name: str) -> Path:
    """A recipe file by its path, or a recipe of r2mae by its name, such as `digits_demo`.

    Raises: InputError, naming the nearest shipped recipes, if it is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    shipped = shipped_recipes()
    plain = name.removeprefix("recipes/").removesuffix(".yaml")
    matches = [
        file for key, file in shipped.items() if plain in (key, key.rpartition("/")[2])
    ]
    if len(matches) == 1:
        return matches[0]
    if path.suffix:
        raise InputError(
            f"{name} must be a YAML file, but it does not exist. Check the path."
        )
    raise InputError(
        f"RECIPE must be a file, or a name that r2mae recipe list shows, got {name!r}. {did_you_mean(plain, shipped)}"
    )


def find_recipe_or_study(name: str) -> Path:
    """As `find_recipe`; where no recipe has the name, a study of r2mae that has it.

    Raises: as `find_recipe`.
    """
    plain = name.removeprefix("recipes/").removeprefix("studies/").removesuffix(".yaml")
    studies = shipped_studies()
    names = {key.rpartition("/")[2] for key in shipped_recipes()}
    is_study = plain in studies and plain not in names and not Path(name).exists()
    return studies[plain] if is_study else find_recipe(name)
